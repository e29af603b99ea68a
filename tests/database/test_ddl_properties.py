"""For any two schemas, the plan leads from one to the other and back."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from partman.catalog.ddl.remedy import plan
from partman.catalog.read import read_catalog
from tests.database.ddl_random import Drawn, schemas
from tests.database.ddl_support import apply, statements
from tests.summary import stride
from tests.support import Database, temporary_database

EXAMPLES = 400 // stride(8)


@pytest.fixture(scope="module")
def blank(template: Database) -> Iterator[Database]:
    """An empty database, on a server where the migrations have made the roles."""
    with temporary_database() as database:
        yield database


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    # To find a smaller example takes minutes, and this one can be read.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(source=schemas(), target=schemas())
def test_changes_any_schema_into_any_other_and_back(
    blank: Database, source: Drawn, target: Drawn
) -> None:
    asyncio.run(_there_and_back(blank.url, source, target))


async def _there_and_back(url: str, source: Drawn, target: Drawn) -> None:
    """Run everything in one transaction that is rolled back."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN")
        await connection.execute(";\n".join(source.statements))
        expected = await read_catalog(connection)
        await connection.execute("ROLLBACK; BEGIN")
        await connection.execute(";\n".join(target.statements))
        found = await read_catalog(connection)
        forwards, backwards = statements(done := plan(expected, found))
        assert done.unwritten == ()
        await apply(connection, forwards, expected)
        await apply(connection, backwards, found)
        assert bool(forwards or backwards) == (expected != found)
    finally:
        connection.terminate()
