"""The migration lock's key, as documented, and who has the lock."""

import asyncpg

from partman.migration.ledger import lock
from tests.support import Database


async def test_the_key_is_part_and_the_database(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await lock.acquire(connection, patience=0, report=print)
    [held] = await connection.fetch(
        "SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    )
    oid = await connection.fetchval(
        "SELECT oid FROM pg_database WHERE datname = current_database()"
    )
    assert (held["classid"], held["objid"]) == (int.from_bytes(b"part", "big"), oid)


async def test_the_proof_holds_for_whoever_has_the_lock_and_leaves_it_there(
    empty_database: Database,
) -> None:
    holder = await asyncpg.connect(empty_database.url)
    other = await asyncpg.connect(empty_database.url)

    async def has_it(session: "asyncpg.Connection[asyncpg.Record]") -> tuple[bool, bool]:
        return (
            await session.fetchval(f"SELECT {lock.HELD}"),
            await session.fetchval(f"SELECT {is_holder}"),
        )

    try:
        await lock.acquire(holder, patience=0, report=print)
        is_holder = await lock.hold_twice(holder)
        for _ in range(3):
            assert await has_it(holder) == (True, True)
            assert await has_it(other) == (False, False)
            assert not await other.fetchval(f"SELECT pg_try_advisory_lock({lock.KEY})")
        # Held twice: while the proof gives one back, the other one keeps the lock.
        await holder.execute(f"BEGIN; SELECT pg_advisory_unlock({lock.KEY})")
        assert not await other.fetchval(f"SELECT pg_try_advisory_lock({lock.KEY})")
        await holder.execute(f"SELECT pg_try_advisory_lock({lock.KEY}); ROLLBACK")
        assert await has_it(holder) == (True, True)
        await holder.execute("SELECT pg_advisory_unlock_all()")
        assert await has_it(holder) == (False, False)
        assert await other.fetchval(f"SELECT pg_try_advisory_lock({lock.KEY})")
        assert await has_it(holder) == (False, False)
    finally:
        await holder.close()
        await other.close()
