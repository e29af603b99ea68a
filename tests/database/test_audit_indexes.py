"""The audit of indexes: what takes more than one transaction to break, and to mend."""

import asyncio

import asyncpg
import pytest

from partman.audit import Gap
from tests.database.audit_support import PROJECT, found
from tests.support import Database, execute, query


def audit_of(database: Database) -> list[Gap]:
    async def run() -> list[Gap]:
        connection = await asyncpg.connect(database.url)
        try:
            return await PROJECT.gaps(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def fail_to_build_u(database: Database) -> None:
    """Leave a unique index that is not valid, for the rows are not unique."""
    rows = (
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT id, 'Twice', 'twice', '{}' FROM organizations"
    )
    execute(database.url, rows, rows)
    with pytest.raises(asyncpg.UniqueViolationError):
        execute(
            database.url, "CREATE UNIQUE INDEX CONCURRENTLY u ON partners (organization_id, name)"
        )


def test_indexes_that_are_not_valid_are_built_again(own_protected: Database) -> None:
    fail_to_build_u(own_protected)
    execute(own_protected.url, "DELETE FROM partners")
    [gap] = audit_of(own_protected)
    assert (gap.rule, gap.object) == ("invalid-index", "public.u")
    execute(own_protected.url, gap.remedy)
    assert audit_of(own_protected) == []
    assert query(own_protected.url, "SELECT FROM pg_class WHERE relname = 'u'")


async def test_indexes_that_were_built_and_never_became_valid_are_named(
    own_protected: Database,
) -> None:
    """It waits, at its end, for whoever may still need the rows that it does not have."""
    reader = await asyncpg.connect(own_protected.url)
    builder = await asyncpg.connect(own_protected.url)
    try:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.execute("SELECT FROM migration")
            await builder.execute("SET lock_timeout = 100")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await builder.execute("CREATE INDEX CONCURRENTLY i ON partners (website)")
        assert found(await PROJECT.gaps(builder)) == {("invalid-index", "public.i")}
    finally:
        await reader.close()
        await builder.close()


def test_indexes_that_a_failed_reindex_left_are_dropped(own_protected: Database) -> None:
    fail_to_build_u(own_protected)
    with pytest.raises(asyncpg.UniqueViolationError):
        execute(own_protected.url, "REINDEX INDEX CONCURRENTLY u")
    execute(own_protected.url, "DELETE FROM partners")
    gaps = audit_of(own_protected)
    assert [gap.object for gap in gaps] == ["public.u", "public.u_ccnew"]
    for gap in gaps:
        execute(own_protected.url, gap.remedy)
    assert audit_of(own_protected) == []
    assert not query(own_protected.url, "SELECT FROM pg_class WHERE relname = 'u_ccnew'")


def test_indexes_are_made_and_dropped_without_keeping_anybody_out(own_protected: Database) -> None:
    execute(
        own_protected.url,
        "DROP INDEX idx_opportunities_partner",
        "CREATE INDEX copy ON users (organization_id, email)",
    )
    gaps = audit_of(own_protected)
    assert len(gaps) == 2
    for gap in gaps:
        assert " INDEX CONCURRENTLY " in gap.remedy
        execute(own_protected.url, gap.remedy)
    assert audit_of(own_protected) == []
