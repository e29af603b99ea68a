"""The migration lock's key, as documented."""

from typing import TYPE_CHECKING

from partman.migration.ledger import lock

if TYPE_CHECKING:
    import asyncpg


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
