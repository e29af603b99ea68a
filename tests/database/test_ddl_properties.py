"""For any two schemas, the plan leads from one to the other and back."""

import asyncio
from collections.abc import Callable, Iterator

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


@pytest.fixture(scope="module")
def run(blank: Database) -> Iterator[Callable[..., None]]:
    """Runs a function with one connection to it, which keeps its plans."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(blank.url, max_cacheable_statement_size=0))
        yield lambda function, *arguments: runner.run(function(connection, *arguments))
        runner.run(connection.close())


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
    run: Callable[..., None], source: Drawn, target: Drawn
) -> None:
    run(_there_and_back, source, target)


async def _there_and_back(
    connection: "asyncpg.Connection[asyncpg.Record]", source: Drawn, target: Drawn
) -> None:
    """Run everything in one transaction that is rolled back."""
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
        await connection.execute("ROLLBACK")
