"""Whatever an object can carry is read, compared, and written in both directions."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.catalog.render import headline
from tests.database.attribute_cases import CASES, Case
from tests.database.ddl_support import apply, statements
from tests.support import Database, temporary_database


@pytest.fixture(scope="module")
def blank(template: Database) -> Iterator[Database]:
    """An empty database, on a server where the migrations have made the roles."""
    with temporary_database() as database:
        yield database


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_compared_and_written_both_ways(blank: Database, case: Case) -> None:
    asyncio.run(_there_and_back(blank.url, case))


async def _there_and_back(url: str, case: Case) -> None:
    """Change it, take the change back, make all of it from nothing, and drop all of it."""
    connection = await asyncpg.connect(url)
    try:
        if connection.get_server_version().major < case.since:
            pytest.skip(f"it takes PostgreSQL {case.since}")
        await connection.execute("BEGIN")
        nothing = await read_catalog(connection)
        await connection.execute(case.made)
        made = await read_catalog(connection)
        await connection.execute(case.changed)
        changed = await read_catalog(connection)
        differences = compare(made, changed)
        assert [headline(each)[10:] for each in differences] == [case.headline]
        assert [each.object for each in plan(made, changed).unwritten] == (
            [] if case.written else [differences[0].object]
        )
        if not case.written:
            return
        there, back = statements(plan(made, changed))
        await apply(connection, there, made)
        await apply(connection, back, changed)
        await _from_nothing(connection, nothing, changed)
    finally:
        connection.terminate()


async def _from_nothing(
    connection: "asyncpg.Connection[asyncpg.Record]", nothing: Catalog, all_of_it: Catalog
) -> None:
    remedy = plan(nothing, all_of_it)
    if remedy.unwritten:
        return
    there, back = statements(remedy)
    await apply(connection, there, nothing)
    await apply(connection, back, all_of_it)
