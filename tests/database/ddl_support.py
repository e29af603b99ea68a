"""Apply and revert a plan."""

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.compare import compare
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.online import SqlStep, SqlSteps
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from partman.catalog.read import KnownCatalogs, read_catalog
from partman.catalog.render import lines
from tests.catalog import reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection, Record

# A database with one cannot be dropped.
WITHOUT_SUBSCRIPTIONS = """
DO $$
DECLARE subscription record;
BEGIN
    FOR subscription IN SELECT subname FROM pg_subscription s
        JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database() LOOP
        EXECUTE format('ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I',
            subscription.subname);
    END LOOP;
END $$
"""


def statements(done: Remedy | SqlSteps) -> tuple[list[str], list[str]]:
    """Return the statements that run forwards and backwards, in order."""
    parts: Sequence[Change | SqlStep] = done.changes if isinstance(done, Remedy) else done.steps
    forwards = [statement for part in parts for statement in part.forwards]
    backwards = [statement for part in reversed(parts) for statement in part.backwards]
    return forwards, backwards


_known = KnownCatalogs()


async def catalog_of(connection: "Connection[Record]") -> Catalog:
    """Read a catalog. What one of the last two reads has found is not made into objects again."""
    return await read_catalog(connection, known=_known)


async def apply(connection: "Connection[Record]", wanted: list[str], to: Catalog) -> None:
    """Run statements, and check that they lead to this catalog."""
    for statement in wanted:
        try:
            await connection.execute(statement)
        except asyncpg.PostgresError as error:
            raise AssertionError(f"{error}\n{statement}\nof\n" + ";\n".join(wanted)) from error
    difference = "\n".join(lines(compare(to, await catalog_of(connection))))
    assert difference == "", difference + "\nafter\n" + ";\n".join(wanted)


def round_trip(
    url: str, expected: Catalog, found: Catalog, *, verbatim: bool = False
) -> tuple[list[str], list[str]]:
    """Turn a database from ``found`` into ``expected``, back, and again; return the statements."""

    async def run() -> tuple[list[str], list[str]]:
        async with reader(url) as connection:
            return await there_and_back(connection, expected, found, verbatim=verbatim)

    return asyncio.run(run())


async def there_and_back(
    connection: "Connection[Record]", expected: Catalog, found: Catalog, *, verbatim: bool = False
) -> tuple[list[str], list[str]]:
    """As round_trip(), over a connection: see reader()."""
    forwards, backwards = statements(done := plan(expected, found, verbatim=verbatim))
    assert done.unwritten == ()
    await apply(connection, forwards, expected)
    await apply(connection, backwards, found)
    await apply(connection, forwards, expected)
    return forwards, backwards
