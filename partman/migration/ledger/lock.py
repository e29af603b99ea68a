"""One runner at a time, for each database.

The lock is the session-level advisory lock ``pg_advisory_lock(key)``, whose key has ``part`` in
its upper half and the database's OID in the lower one. To see who holds it::

    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1885434484 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

It is polled with ``pg_try_advisory_lock``. Whoever waits inside ``pg_advisory_lock`` has a
snapshot, which the holder's CREATE INDEX CONCURRENTLY waits for: a deadlock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from partman.database.other_sessions import how_to_end, obstacles, pids_of
from partman.errors import LockHeldError
from partman.retry import Patience

if TYPE_CHECKING:
    from asyncpg import Connection, Record

CLASS_ID = int.from_bytes(b"part", "big")
"""The upper half of the key: what ``pg_locks`` shows as classid."""

_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
KEY = f"(({CLASS_ID}::bigint << 32) | {_DATABASE}::bigint)"
"""The key, as an SQL expression."""

_IS_IT = f"locktype = 'advisory' AND granted AND classid = {CLASS_ID} AND database = {_DATABASE}"

HELD = f"EXISTS (SELECT FROM pg_locks WHERE {_IS_IT} AND pid = pg_backend_pid())"
"""The condition, in SQL, that the server process which evaluates it holds the lock. It does not
behind a proxy that hands each transaction to any of its server processes."""

HELD_BY_ANYBODY = f"EXISTS (SELECT FROM pg_locks WHERE {_IS_IT})"
"""The condition, in SQL, that a run is under way."""

_CONNECTED_AT = f"""
SELECT backend_start FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE {_IS_IT}
"""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_REPEAT = 10.0
"""Seconds after which a waiting runner says again for whom."""


async def acquire(
    connection: "Connection[Record]", *, patience: float, report: Callable[[str], None]
) -> None:
    """Take the lock, waiting ``patience`` seconds at the most.

    ``report`` is told for whom we wait. Raises LockHeldError. The lock is freed when the
    session ends, however it ends.
    """
    wait, reported = Patience(patience, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE), -_REPEAT
    while not await connection.fetchval(f"SELECT pg_try_advisory_lock({KEY})"):
        if wait.waited - reported >= _REPEAT and (holder := await _holder(connection))[0]:
            report(f"Waiting for another run to finish: {' '.join(holder).rstrip()}")
            reported = wait.waited
        if not await wait.pause():
            held, ending = await _holder(connection)
            raise LockHeldError(
                f"Another run holds the migration lock: {held or 'it ended just now.'} Waited "
                f"{wait.waited:.0f} s and gave up; nothing was changed. Run again when it is done, "
                f"or allow more time with PARTMAN_LOCK_WAIT (seconds). {ending}".rstrip()
            )


async def hold_twice(connection: "Connection[Record]") -> str:
    """Take the lock, which this session has, once more; return the condition that it has it.

    The condition is SQL, and means the same as HELD. It does not read ``pg_locks``, which shows the
    locks of all sessions, and costs more than the statements of a small migration: it gives one of
    the two back, which only the session that has them can do, and takes it again. In between, the
    other one keeps the lock.
    """
    key = await connection.fetchval(f"SELECT {KEY} WHERE pg_try_advisory_lock({KEY})")
    return (
        f"CASE WHEN pg_catalog.pg_advisory_unlock({key})"
        f" THEN pg_catalog.pg_try_advisory_lock({key}) ELSE false END"
    )


@dataclass(frozen=True)
class RunUnderWay:
    """The run that holds the lock."""

    connected_at: datetime | None
    """None where this role may not see it."""


async def run_under_way(connection: "Connection[Record]") -> RunUnderWay | None:
    """Return the run that holds the lock; None if the lock is free."""
    row = await connection.fetchrow(_CONNECTED_AT)
    return RunUnderWay(row["backend_start"]) if row else None


async def _holder(connection: "Connection[Record]") -> tuple[str, str]:
    """Return sentences: who holds the lock and for whom that run waits; and how to end them."""
    pids = pids_of(
        await connection.fetchval(f"SELECT string_agg(pid::text, ',') FROM pg_locks WHERE {_IS_IT}")
    )
    found = await obstacles(connection, pids)
    holders = [each for each in found if each.pid in pids]
    others = [each for each in found if each not in holders]
    said = "".join(f"{each}." for each in holders)
    if others:
        said += f" It waits itself: {'; '.join(map(str, others))}."
    return said, how_to_end(found)
