"""Each kind of difference has statements that remove it, and statements that restore it."""

import pytest

from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from tests.catalog import read, reader
from tests.database.catalog_sample import CHANGES, Change
from tests.database.ddl_support import round_trip, there_and_back
from tests.support import Database, execute

NOT_WRITTEN = {
    "missing   schema shop",
    "different aggregate shop.sum_of(integer): definition",
    "extra     collation shop.german",
    "extra     operator shop.===(integer,integer)",
    "extra     text search configuration shop.ours",
}
"""Changes without a known statement, in one or both directions."""

NOT_ALLOWED = {
    "different schema shop: owner",
    "different table shop.goals: owner",
    "different extension hstore: schema",
}
"""Changes that need a superuser, because they take ownership back."""

WRITTEN = [change for change in CHANGES if change.headline not in NOT_WRITTEN | NOT_ALLOWED]


@pytest.mark.parametrize("change", WRITTEN, ids=lambda change: change.headline)
def test_reverts_each_change(sample: Database, expected: Catalog, change: Change) -> None:
    execute(sample.url, change.sql)
    round_trip(sample.url, expected, read(sample.url))


@pytest.mark.parametrize("change", WRITTEN[::6], ids=lambda change: change.headline)
def test_reverts_each_change_in_unshortened_sql(
    sample: Database, expected: Catalog, change: Change
) -> None:
    execute(sample.url, change.sql)
    round_trip(sample.url, expected, read(sample.url), verbatim=True)


@pytest.mark.parametrize(
    "change",
    [change for change in CHANGES if change.headline in NOT_WRITTEN],
    ids=lambda change: change.headline,
)
def test_lists_differences_without_a_statement(
    sample: Database, expected: Catalog, change: Change
) -> None:
    execute(sample.url, change.sql)
    unwritten = plan(expected, read(sample.url)).unwritten
    about = {str(difference.reference) for difference in unwritten}
    known = change.headline[10:].partition(": ")[0]
    assert known in about or known == "schema shop"
    assert about


RIGHTS = [
    "GRANT SELECT ON shop.cache TO partman_app",
    "GRANT SELECT, INSERT ON shop.cache TO partman_app WITH GRANT OPTION",
    "GRANT SELECT, UPDATE (key) ON shop.cache TO partman_app",
    "GRANT SELECT (key), SELECT (hash), SELECT ON shop.cache TO partman_app",
    "GRANT SELECT (key), SELECT (hash) ON shop.cache TO partman_app",
    "GRANT ALL ON shop.cache TO partman_app",
    "GRANT ALL ON shop.cache TO partman_app WITH GRANT OPTION",
    "GRANT ALL ON shop.cache TO partman_app; GRANT SELECT (key) ON shop.cache TO partman_app;"
    " REVOKE SELECT ON shop.cache FROM partman_app",
    "GRANT ALL ON shop.cache TO partman_app WITH GRANT OPTION;"
    " GRANT UPDATE (key) ON shop.cache TO partman_app",
    "GRANT USAGE ON SCHEMA shop TO partman_app",
]
"""A REVOKE on a table also revokes on its columns; ALL means more in newer versions."""


@pytest.mark.parametrize("statement", RIGHTS)
async def test_changes_any_grants_into_any_others(sample: Database, statement: str) -> None:
    async with reader(sample.url) as connection:
        await connection.execute(statement)
        expected = await read_catalog(connection)
        for other in RIGHTS:
            await connection.execute(f"REVOKE ALL ON shop.cache FROM partman_app; {other}")
            await there_and_back(connection, expected, await read_catalog(connection))


_CALLED = "CREATE FUNCTION shop.called{} LANGUAGE plpgsql AS 'BEGIN {}; END'"
_ABOUT_A_ROW = _CALLED.format("(shop.a) RETURNS boolean IMMUTABLE", "RETURN $1.n > 0")


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (
            _CALLED.format("() RETURNS trigger", "DELETE FROM shop.a; RETURN NULL"),
            "CREATE TRIGGER t AFTER UPDATE ON shop.a EXECUTE FUNCTION shop.called()",
        ),
        (_ABOUT_A_ROW, "ALTER TABLE shop.a ADD CHECK (shop.called(a))"),
        (_ABOUT_A_ROW, "CREATE INDEX i ON shop.a (n) WHERE shop.called(a)"),
        (
            _CALLED.format("() RETURNS boolean", "RETURN EXISTS (SELECT FROM shop.a)"),
            "CREATE POLICY p ON shop.a USING (shop.called())",
        ),
        (
            _CALLED.format("() RETURNS trigger", "PERFORM FROM shop.b; RETURN NEW"),
            "CREATE TRIGGER t INSTEAD OF INSERT ON shop.b FOR EACH ROW"
            " EXECUTE FUNCTION shop.called()",
        ),
    ],
)
def test_a_function_is_dropped_after_its_callers_on_a_dropped_table(
    sample: Database, expected: Catalog, function: str, call: str
) -> None:
    made = ("CREATE TABLE shop.a (n int)", "CREATE VIEW shop.b AS SELECT n FROM shop.a")
    execute(sample.url, *made, function, call)
    round_trip(sample.url, expected, found := read(sample.url))
    round_trip(sample.url, found, expected)
