"""The SQL that is offered was run on a copy, and leads to what is expected in one round."""

import asyncio
from typing import Never

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.catalog.render import lines
from partman.errors import PermissionDeniedError
from partman.migration.verification import tried_remedy
from partman.migration.verification.comparison import Comparison, with_remedy
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.losses import counted_in
from partman.migration.verification.tried_remedy import TriedRemedy, try_remedy
from partman.settings import Settings
from tests.catalog import read
from tests.support import Database, execute, query, server_url

ROLES = frozenset(("PUBLIC", "partman_app"))

EXPECTED = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION double(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * n'",
    "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE partners (id serial PRIMARY KEY, name text NOT NULL, website text,"
    " mood mood DEFAULT 'ok', price numeric(8, 2), CONSTRAINT priced CHECK (price > 0))",
    "CREATE TABLE deals (id int PRIMARY KEY, partner_id int REFERENCES partners, note text)",
    "CREATE INDEX by_name ON partners (name)",
    "CREATE POLICY own ON partners USING (name = current_user)",
    "CREATE TRIGGER acts BEFORE INSERT ON partners FOR EACH ROW EXECUTE FUNCTION act()",
    "CREATE VIEW sites AS SELECT id, website FROM partners",
]
ROWS = [
    "INSERT INTO partners (id, name, website, price)"
    " SELECT n, 'p' || n, CASE WHEN n <= 24 THEN 'w' END, n FROM generate_series(1, 30) n",
    "INSERT INTO deals SELECT n, n, 'x' FROM generate_series(1, 7) n",
    "SELECT nextval('numbers')",
]


@pytest.fixture
def expected(empty_database: Database) -> Catalog:
    execute(empty_database.url, *EXPECTED)
    catalog = read(empty_database.url)
    execute(empty_database.url, *ROWS)
    return catalog


def remedy(expected: Catalog, database: Database) -> TriedRemedy:
    scratch = Settings.load({"DATABASE_URL": server_url()})
    found = read(database.url)
    tried = asyncio.run(try_remedy(scratch, expected, found, Isolation(ROLES)))
    assert read(database.url) == found
    return tried


async def read_async(url: str) -> Catalog:
    connection = await asyncpg.connect(url)
    try:
        return await read_catalog(connection)
    finally:
        await connection.close()


def sql(tried: TriedRemedy) -> list[str]:
    return [statement.sql for statement in tried.statements]


def differences(expected: Catalog, database: Database) -> list[str]:
    return list(lines(compare(expected, read(database.url))))


RENAMES = [
    [
        "ALTER TABLE partners RENAME website TO site",
        "ALTER TABLE partners RENAME name TO label",
        "ALTER TABLE partners RENAME CONSTRAINT priced TO costly",
        "ALTER TABLE partners RENAME CONSTRAINT partners_pkey TO pk",
        "ALTER INDEX by_name RENAME TO named",
        "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
        "ALTER POLICY own ON partners RENAME TO mine",
        "ALTER TRIGGER acts ON partners RENAME TO reacts",
        "ALTER FUNCTION double(int) RENAME TO twice",
        "ALTER VIEW sites RENAME TO websites",
        "ALTER SEQUENCE numbers RENAME TO counts",
    ],
    # What is in a table is found when the table has its name again.
    [
        "ALTER TABLE partners RENAME TO companies",
        "ALTER TABLE companies RENAME CONSTRAINT priced TO costly",
        "ALTER TABLE deals RENAME note TO remark",
        "ALTER TABLE deals RENAME partner_id TO company_id",
    ],
]


@pytest.mark.parametrize("by_hand", RENAMES, ids=["parts", "table"])
def test_renamed_objects_are_renamed_back(
    empty_database: Database, expected: Catalog, by_hand: list[str]
) -> None:
    execute(empty_database.url, *by_hand)
    tried = remedy(expected, empty_database)
    assert all(" RENAME " in statement for statement in sql(tried)), sql(tried)
    assert len(tried.statements) == len(by_hand)
    assert tried.by_hand == ()
    execute(empty_database.url, *sql(tried))
    assert differences(expected, empty_database) == []
    assert query(empty_database.url, "SELECT count(website) FROM partners")[0][0] == 24


def test_an_ambiguous_column_is_not_dropped(empty_database: Database, expected: Catalog) -> None:
    execute(
        empty_database.url,
        "DROP VIEW sites",
        "ALTER TABLE partners DROP website, ADD address text, ADD site text",
    )
    tried = remedy(expected, empty_database)
    assert [str(each.reference) for each in tried.by_hand] == [
        "column public.partners.address",
        "column public.partners.site",
    ]
    assert "it may have been renamed" in tried.by_hand[0].reason
    assert "column public.partners.website" in tried.by_hand[0].reason
    assert not any("DROP COLUMN" in statement for statement in sql(tried))
    execute(empty_database.url, *sql(tried))
    left = [each for each in differences(expected, empty_database) if each[0] != " "]
    assert left == [
        "extra     column public.partners.address",
        "extra     column public.partners.site",
    ]


LOSSES = [
    "CREATE TABLE more AS SELECT * FROM partners",
    "ALTER TABLE partners ADD extra int",
    "UPDATE partners SET extra = 1 WHERE id < 6",
    "CREATE MATERIALIZED VIEW seen AS SELECT * FROM deals",
    "CREATE SEQUENCE used",
    "SELECT nextval('used')",
    "ALTER TABLE partners ALTER price TYPE numeric(9, 3)",
    "ALTER TYPE mood ADD VALUE 'bad'",
    "UPDATE partners SET mood = 'bad' WHERE id < 4",
]


def test_losses_are_counted_in_the_live_database(
    empty_database: Database, expected: Catalog
) -> None:
    execute(empty_database.url, *LOSSES)
    tried = remedy(expected, empty_database)
    settings = Settings.load({"DATABASE_URL": empty_database.url})
    losses = [statement.loss for statement in tried.statements if statement.loss]
    counted = asyncio.run(counted_in(settings, losses))
    assert sorted(map(str, counted.values())) == [
        "1 position of sequence public.used",
        "3 values of type public.mood",
        "30 rows of table public.more",
        "30 values of column public.partners.price",
        "5 values of column public.partners.extra",
        "7 rows of materialized view public.seen",
    ]


def test_what_takes_too_long_is_estimated(
    empty_database: Database, expected: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        empty_database.url,
        "CREATE TABLE many AS SELECT CASE WHEN n % 2 = 0 THEN n END AS half FROM"
        " generate_series(1, 1234) n",
        "ANALYZE many",
        "ALTER TABLE deals ADD unknown int",
    )
    tried = remedy(expected, empty_database)
    losses = [each.loss for each in tried.statements if each.loss]
    monkeypatch.setattr("partman.migration.verification.losses._PATIENCE", 1)
    slow = [
        type(loss)(loss.reference, loss.noun, f"{loss.query}, pg_sleep(1)", loss.table, loss.column)
        for loss in losses
    ]
    settings = Settings.load({"DATABASE_URL": empty_database.url})
    counted = asyncio.run(counted_in(settings, slow))
    assert sorted(map(str, counted.values())) == [
        "about 1,200 rows of table public.many",
        "an unknown number of values of column public.deals.unknown",
    ]


def test_failing_statements_do_not_take_the_others_with_them(
    empty_database: Database, expected: Catalog
) -> None:
    """Nothing can be written for a collation, nor for what hangs on it; the rest can be done."""
    execute(
        empty_database.url,
        'CREATE COLLATION by_hand FROM "C"',
        "ALTER TABLE deals ALTER note TYPE text COLLATE by_hand",
        "ALTER TABLE deals ADD named text COLLATE by_hand",
        "DROP INDEX by_name",
        "ALTER TABLE partners ALTER price DROP DEFAULT, DROP CONSTRAINT priced",
    )
    tried = remedy(expected, empty_database)
    by_hand = {str(each.reference): each for each in tried.by_hand}
    assert "collation public.by_hand" in by_hand
    assert list(map(str, tried.copy_lacks)) == ["table public.deals", "collation public.by_hand"]
    execute(empty_database.url, *sql(tried))
    left = {
        each.split(": ")[0][10:] for each in differences(expected, empty_database) if each[0] != " "
    }
    assert left == by_hand.keys()


async def test_without_a_copy_it_says_so(
    template: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load({"DATABASE_URL": template.url})
    expected = found = await read_async(template.url)
    kept = tuple(each for each in found.objects if each.kind != "trigger")
    differing = Comparison(expected, Catalog(kept), tuple(compare(expected, Catalog(kept))))

    def refused(_: Settings) -> Never:
        raise PermissionDeniedError("The role cannot create a scratch database.")

    monkeypatch.setattr(tried_remedy, "scratch_database", refused)
    remedy = (await with_remedy(settings, differing, settings)).remedy
    assert remedy.not_tried == "The role cannot create a scratch database."
    assert all(statement.startswith("CREATE TRIGGER") for statement in sql(remedy))
    assert len(remedy.statements) == len(differing.differences)


def test_isolation_comes_first(empty_database: Database, expected: Catalog) -> None:
    execute(
        empty_database.url,
        "DROP INDEX by_name",
        "ALTER TABLE partners DROP CONSTRAINT priced",
        "ALTER POLICY own ON partners USING (true)",
        "CREATE TABLE aaa (a int)",
        "GRANT SELECT ON partners TO PUBLIC",
        "ALTER TABLE deals ENABLE ROW LEVEL SECURITY",
    )
    tried = remedy(expected, empty_database)
    assert [statement.split(" ON ")[0] for statement in sql(tried)][:3] == [
        "ALTER TABLE public.deals DISABLE ROW LEVEL SECURITY",
        "ALTER POLICY own",
        "REVOKE SELECT",
    ]
    listed = Isolation(ROLES).first(compare(expected, read(empty_database.url)))
    assert [each.reference.kind for each in listed][:3] == ["table", "policy", "grant"]
    execute(empty_database.url, *sql(tried))
    assert differences(expected, empty_database) == []


def test_roles_of_the_live_server_are_not_left_on_the_other(
    empty_database: Database, expected: Catalog
) -> None:
    role = f"{empty_database.name}_only"
    execute(empty_database.url, f"CREATE ROLE {role}", f"GRANT SELECT ON partners TO {role}")
    found = read(empty_database.url)
    execute(empty_database.url, f"REVOKE ALL ON partners FROM {role}", f"DROP ROLE {role}")
    scratch = Settings.load({"DATABASE_URL": server_url()})
    tried = asyncio.run(try_remedy(scratch, expected, found, Isolation(ROLES)))
    assert sql(tried) == [f"REVOKE SELECT ON public.partners FROM {role}"]
    assert query(server_url(), "SELECT FROM pg_roles WHERE rolname = $1", role) == []


def test_a_body_that_its_authors_search_path_explains_is_not_checked(
    empty_database: Database, other_database: Database
) -> None:
    """As pg_dump does it; the statement is not there when no body needs it."""
    body = "$$ DECLARE found rate; BEGIN RETURN 1; END $$"
    needed = [
        "CREATE SCHEMA own",
        "CREATE TYPE own.rate AS (n int)",
        "SET search_path = own",
        f"CREATE FUNCTION own.of_rate() RETURNS int LANGUAGE plpgsql AS {body}",
    ]
    execute(empty_database.url, ";".join(needed))
    wanted = read(empty_database.url)
    tried = remedy(wanted, other_database)
    assert sql(tried)[0] == "SET check_function_bodies = off"
    assert tried.by_hand == ()
    execute(other_database.url, ";".join(sql(tried)))
    assert compare(wanted, read(other_database.url)) == []
    execute(other_database.url, "DROP SCHEMA own CASCADE; CREATE SCHEMA own")
    execute(empty_database.url, "DROP FUNCTION own.of_rate()")
    assert "SET check" not in sql(remedy(read(empty_database.url), other_database))[0]


def test_what_nothing_takes_back_is_offered(empty_database: Database) -> None:
    """A table cannot stop declaring what it inherits: a migration would have no way back."""
    parent = "CREATE TABLE p (a int, b text, CONSTRAINT k CHECK (a > 0))"
    inheriting = "CREATE TABLE c (d int) INHERITS (p)"
    execute(empty_database.url, parent, inheriting, "ALTER TABLE c NO INHERIT p, INHERIT p")
    expected = read(empty_database.url)
    execute(empty_database.url, "DROP TABLE c", inheriting)
    tried = remedy(expected, empty_database)
    assert tried.by_hand == ()
    execute(empty_database.url, *sql(tried))
    assert differences(expected, empty_database) == []
