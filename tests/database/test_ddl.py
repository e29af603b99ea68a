"""Each kind of difference has statements that remove it, and statements that restore it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from tests.catalog import Connection, reader
from tests.database.catalog_sample import CHANGES, SAMPLE, Change
from tests.database.ddl_support import catalog_of, there_and_back
from tests.support import Database, temporary_database

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
async def test_reverts_each_change(
    in_sample: Connection, expected: Catalog, change: Change
) -> None:
    await in_sample.execute(change.sql)
    await there_and_back(in_sample, expected, await catalog_of(in_sample))


@pytest.mark.parametrize("change", WRITTEN[::6], ids=lambda change: change.headline)
async def test_reverts_each_change_in_unshortened_sql(
    in_sample: Connection, expected: Catalog, change: Change
) -> None:
    await in_sample.execute(change.sql)
    await there_and_back(in_sample, expected, await catalog_of(in_sample), verbatim=True)


@pytest.mark.parametrize(
    "change",
    [change for change in CHANGES if change.headline in NOT_WRITTEN],
    ids=lambda change: change.headline,
)
async def test_lists_differences_without_a_statement(
    in_sample: Connection, expected: Catalog, change: Change
) -> None:
    await in_sample.execute(change.sql)
    unwritten = plan(expected, await catalog_of(in_sample)).unwritten
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(sample_template: Database) -> AsyncIterator[Connection]:
    """In a database with that table alone, whose catalog is read hundreds of times."""
    del sample_template  # its server has the roles
    [create] = [each for each in SAMPLE if "TABLE shop.cache" in each]
    with temporary_database() as database:
        async with reader(database.url) as connection:
            await connection.execute(f"CREATE SCHEMA shop; {create}")
            yield connection


@pytest_asyncio.fixture(loop_scope="module")
async def beside_nothing(session: Connection) -> AsyncIterator[Connection]:
    """The session, in a transaction that is rolled back."""
    await session.execute("BEGIN")
    yield session
    await session.execute("ROLLBACK")


_ALL = [statement for statement in RIGHTS if "ALL" in statement]
"""Only these depend on the version: each is changed into all others, and these into it."""


@pytest.mark.parametrize(
    "statement",
    [
        *_ALL,
        *(
            pytest.param(each, marks=pytest.mark.same_on_every_version)
            for each in RIGHTS
            if each not in _ALL
        ),
    ],
)
async def test_changes_any_grants_into_any_others(
    beside_nothing: Connection, statement: str
) -> None:
    await beside_nothing.execute(statement)
    expected = await catalog_of(beside_nothing)
    for other in RIGHTS:
        await beside_nothing.execute(f"REVOKE ALL ON shop.cache FROM partman_app; {other}")
        await there_and_back(beside_nothing, expected, await catalog_of(beside_nothing))


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
async def test_a_function_is_dropped_after_its_callers_on_a_dropped_table(
    in_sample: Connection, expected: Catalog, function: str, call: str
) -> None:
    made = ("CREATE TABLE shop.a (n int)", "CREATE VIEW shop.b AS SELECT n FROM shop.a")
    for statement in (*made, function, call):
        await in_sample.execute(statement)
    found = await catalog_of(in_sample)
    await there_and_back(in_sample, expected, found)
    await there_and_back(in_sample, found, expected)
