"""partman says that two schemas are equal if and only if pg_dump does, and its SQL makes it so."""

import asyncio
from collections.abc import Iterator, Sequence

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan
from partman.catalog.read import read_catalog
from partman.database.pg_dump import Dump
from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from tests.corpus.clients import dump, unlike
from tests.corpus.exceptions import OF_THE_DATABASE, UNLIKE
from tests.database import partition_cases
from tests.database.attribute_cases import CASES, Case
from tests.database.catalog_sample import CHANGES, SAMPLE, Change
from tests.database.ddl_random import Drawn, schemas
from tests.database.ddl_support import WITHOUT_SUBSCRIPTIONS, apply, statements
from tests.database.test_ddl import NOT_ALLOWED
from tests.summary import stride
from tests.support import (
    Database,
    as_role,
    execute,
    server_url,
    shared_database,
    temporary_database,
)

pytestmark = pytest.mark.corpus

_ATTRIBUTES = [
    case
    for case in [*CASES, *partition_cases.CASES][:: stride(10)]
    if case.headline.partition(" ")[0] not in OF_THE_DATABASE and case.headline not in UNLIKE
]
_CHANGES = [
    change
    for change in CHANGES[:: stride(10)]
    if change.headline not in NOT_ALLOWED and change.headline not in UNLIKE
]


@pytest.fixture(scope="module")
def sample() -> Iterator[Database]:
    with shared_database("corpus_sample", _fill) as database:
        yield database


def _fill(database: Database) -> None:
    execute(database.url, ROLES, *SAMPLE)


# The sample makes the roles.
@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("case", _ATTRIBUTES, ids=str)
def test_pg_dump_sees_what_partman_sees(case: Case) -> None:
    with temporary_database() as owners:
        database = Database(as_role(owners.url, "postgres")) if case.superuser else owners
        asyncio.run(_differs_in_both(database, case.made, case.changed, case.since))
        if case.superuser:
            # Nobody else may end a superuser's session, which may take a moment to end.
            execute(as_role(server_url(), "postgres"), f"DROP DATABASE {owners.name} WITH (FORCE)")


@pytest.mark.parametrize("change", _CHANGES, ids=lambda change: change.headline)
def test_pg_dump_sees_each_change_to_the_sample(sample: Database, change: Change) -> None:
    with temporary_database(sample.name) as database:
        asyncio.run(_differs_in_both(database, "SELECT", change.sql))


# The sample makes the roles.
@pytest.mark.usefixtures("sample")
@settings(
    max_examples=50 // stride(10),
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(source=schemas(), target=schemas())
def test_pg_dump_and_partman_agree_on_random_pairs(source: Drawn, target: Drawn) -> None:
    with temporary_database() as one, temporary_database() as other:
        execute(one.url, ";\n".join(source.statements))
        execute(other.url, ";\n".join(target.statements))
        asyncio.run(_agree(one, other))


async def _agree(one: Database, other: Database) -> None:
    """Compare two databases, and turn one into the other and back."""
    connection, beside = await asyncpg.connect(other.url), await asyncpg.connect(one.url)
    try:
        expected, found = await read_catalog(beside), await read_catalog(connection)
        dumped, before = await _dump(one), await _dump(other)
        is_same = await _unlike(other, dumped, before) == []
        assert is_same is (compare(expected, found) == [])
        forwards, backwards = statements(plan(expected, found))
        await apply(connection, forwards, expected)
        assert await _unlike(other, dumped, await _dump(other)) == [], forwards
        await apply(connection, backwards, found)
        assert await _unlike(other, before, await _dump(other)) == [], backwards
    finally:
        await connection.close()
        await beside.close()


async def _differs_in_both(database: Database, made: str, changed: str, since: int = 0) -> None:
    """Change a schema; take the change back, and make it again, by partman's SQL."""
    try:
        connection = await asyncpg.connect(database.url)
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"it takes a superuser: {error}")
    try:
        if connection.get_server_version().major < since:
            pytest.skip(f"it takes PostgreSQL {since}")
        await connection.execute(made)
        before, dumped_before = await read_catalog(connection), await _dump(database)
        await connection.execute(changed)
        after, dumped_after = await read_catalog(connection), await _dump(database)
        assert compare(before, after) != []
        assert await _unlike(database, dumped_before, dumped_after) != []
        remedy = plan(before, after)
        if remedy.unwritten:
            return
        forwards, backwards = statements(remedy)
        await apply(connection, forwards, before)
        assert await _unlike(database, dumped_before, await _dump(database)) == [], forwards
        await apply(connection, backwards, after)
        assert await _unlike(database, dumped_after, await _dump(database)) == [], backwards
    finally:
        await connection.execute(WITHOUT_SUBSCRIPTIONS)
        await connection.close()


async def _dump(database: Database) -> Dump:
    return await asyncio.to_thread(dump, database)


async def _unlike(database: Database, expected: Dump, found: Dump) -> Sequence[str]:
    return await asyncio.to_thread(unlike, database, expected, found)
