"""The same schema is equal, however it was written: a database and its own dump, restored."""

import asyncio

import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import headline, lines
from partman.migration.verification import same_expressions
from partman.migration.verification.same_expressions import written_alike
from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from partman.settings import Settings
from tests.catalog import read
from tests.database.catalog_on_server import VIEWS
from tests.database.catalog_sample import SAMPLE
from tests.database.restored import restore
from tests.support import Database, execute, server_url

EXPRESSIONS = [
    "a IN ('x', 'y')",
    "a = ANY ('{x,y}')",
    "v LIKE 'x%' OR v NOT IN ('x', 'y', NULL)",
    "v || a = 'x' AND (n, m) <> (1, 2)",
    "n BETWEEN 1 AND 2.5",
    "coalesce(v, a, 'x') IS DISTINCT FROM 'y'",
    "CASE v WHEN 'x' THEN true ELSE n > m END",
    "c = 'x' AND c IN ('a', 'b')",
    "v::varchar(3) = 'x' AND (n::text)::varchar(5) = '1'",
    "(d AT TIME ZONE 'UTC')::date > '2020-01-01'",
]
"""Conditions on the columns of t; PostgreSQL prints some of them in another way the second time."""

_EACH = list(enumerate(EXPRESSIONS))
WRITTEN = [
    "CREATE DOMAIN word AS varchar(9) DEFAULT (lower('X'))::varchar(2) "
    "CHECK (VALUE IN ('a', 'b')) CHECK (VALUE NOT LIKE 'x' OR VALUE IN ('x', 'y'))",
    "CREATE FUNCTION yes(t text) RETURNS boolean IMMUTABLE LANGUAGE sql"
    " RETURN t::varchar(9) IN ('x', 'y')",
    "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE FUNCTION steps(v varchar(9), a text DEFAULT (lower('X'))::varchar(2)) RETURNS int"
    " LANGUAGE sql BEGIN ATOMIC SELECT 1 WHERE v IN ('a', 'b'); SELECT 2; END",
    "CREATE TABLE t (v varchar(9), a text, c char(3), n int, m bigint, d timestamp,"
    " s varchar(9) DEFAULT (lower('X'))::varchar(2),"
    " g boolean GENERATED ALWAYS AS (v IN ('x', 'y')) STORED, p int PRIMARY KEY,"
    " EXCLUDE USING btree ((v IN ('x', 'y')) WITH =) WHERE (v IN ('x', 'y')))",
    *(f"ALTER TABLE t ADD CONSTRAINT c{number} CHECK ({text})" for number, text in _EACH),
    *(
        f"CREATE INDEX i{number} ON t ((n + m)) WHERE {text}"
        for number, text in _EACH
        if "AT TIME" not in text
    ),
    "CREATE INDEX ix ON t ((v IN ('a', 'b')), (lower(v) || 'x'::varchar(2)))",
    "CREATE TABLE parts (v varchar(9), n int, CHECK (v IN ('a', 'b')))"
    " PARTITION BY LIST ((v IN ('x', 'y')))",
    "CREATE TABLE part PARTITION OF parts (CHECK (v NOT IN ('q', 'r'))) FOR VALUES IN (true)",
    "CREATE TABLE parent (v varchar(9) CHECK (v IN ('x', 'y')))",
    "CREATE TABLE child (CHECK (v IN ('c', 'd'))) INHERITS (parent)",
    "CREATE STATISTICS st ON (v IN ('a', 'b')), (n + m) FROM t",
    *(f"CREATE POLICY p{number} ON t USING ({text}) WITH CHECK ({text})" for number, text in _EACH),
    *(
        f"CREATE TRIGGER t{number} BEFORE INSERT ON t FOR EACH ROW"
        f" WHEN ({text.replace('(n, m)', '(NEW.n, NEW.m)')}) EXECUTE FUNCTION act()"
        for number, text in enumerate(["NEW.v IN ('a', 'b')", "NEW.v = ANY ('{a,b}')"])
    ),
    *(f"CREATE VIEW v{number} AS SELECT v, ({text}) AS x FROM t" for number, text in _EACH),
    "CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM t WHERE v IN ('a', 'b')",
    "CREATE PUBLICATION pub FOR TABLE t (p) WHERE (p IN (1, 2) AND p::numeric IN (1, 2.5))",
    "CREATE RULE r AS ON UPDATE TO t WHERE NEW.v IN ('a', 'b') DO ALSO"
    " DELETE FROM t WHERE v IN ('a', 'b')",
]
"""A condition in each place where an expression can stand."""


def found_as(expected: Catalog, found: Catalog) -> Catalog:
    scratch = Settings.load({"DATABASE_URL": server_url()})
    return asyncio.run(written_alike(scratch, expected, found))


@pytest.mark.parametrize(
    "statements", [WRITTEN, [ROLES, *SAMPLE], VIEWS], ids=["everywhere", "sample", "views"]
)
def test_a_restored_database_is_equal(
    empty_database: Database, other_database: Database, statements: list[str]
) -> None:
    execute(empty_database.url, *statements)
    restore(empty_database, other_database)
    expected, found = read(empty_database.url), read(other_database.url)
    if statements is WRITTEN:
        kinds = {difference.reference.kind for difference in compare(expected, found)}
        assert len(kinds) > 5, kinds
    assert list(lines(compare(expected, found_as(expected, found)))) == []
    assert list(lines(compare(found, found_as(found, expected)))) == []


def test_the_project_restored_is_equal(template: Database, other_database: Database) -> None:
    restore(template, other_database)
    expected, found = read(template.url), read(other_database.url)
    assert list(lines(compare(expected, found_as(expected, found)))) == []


def test_other_expressions_differ(empty_database: Database, other_database: Database) -> None:
    """Beside equal ones, and where the copies lack what is compared."""
    table = "CREATE TABLE t (v varchar(9), n int) WITH (fillfactor = {})"
    check = "ALTER TABLE t ADD CONSTRAINT {} CHECK (v IN ('a', '{}'))"
    execute(
        empty_database.url, table.format(50), check.format("one", "b"), check.format("two", "b")
    )
    restore(empty_database, other_database)
    execute(
        other_database.url,
        "ALTER TABLE t SET (fillfactor = 60)",
        "ALTER TABLE t DROP CONSTRAINT two",
        check.format("two", "c"),
    )
    expected, found = read(empty_database.url), read(other_database.url)
    assert len(compare(expected, found)) == 3
    different = [
        headline(each).partition(":")[0] for each in compare(expected, found_as(expected, found))
    ]
    assert different == ["different table public.t", "different constraint two on public.t"]


def test_nothing_is_built_without_a_difference(
    template: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(same_expressions, "scratch_database")
    expected = read(template.url)
    assert found_as(expected, expected) is expected
