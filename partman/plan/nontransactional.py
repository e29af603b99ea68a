"""Observe the locks of a statement that cannot run in a transaction, from another session.

Without rows such a statement ends in a millisecond, too soon to observe it. So a blocking session
holds a weak lock on every table until the statement is seen waiting for it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from partman.database.connection import connect
from partman.migration.runner.observer import Send
from partman.plan.state import HeldLock, read_locks
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PAUSE = 0.001
"""Seconds between two queries of pg_locks."""


@dataclass(frozen=True)
class Observation:
    """The locks, duration and result of a statement."""

    result: Any
    locks: set[HeldLock]
    duration: float
    """Seconds, without the time that it waited for the blocking session."""


async def observe(
    settings: Settings,
    connection: "Connection[Record]",
    tables: Sequence[str],
    send: Send,
) -> Observation:
    """Run a statement of ``connection``, and read its locks from another one until it ends."""
    pid = connection.get_server_pid()
    async with _session(settings) as watcher, _session(settings) as blocker:
        if tables:
            await blocker.execute(
                f"BEGIN; LOCK TABLE {', '.join(tables)} IN SHARE UPDATE EXCLUSIVE MODE"
            )
        started = time.perf_counter()
        running = asyncio.ensure_future(send())
        observed: set[HeldLock] = set()
        blocking = bool(tables)
        try:
            while not running.done():
                waits_for = await watcher.fetchval("SELECT pg_blocking_pids($1)", pid)
                observed |= (await read_locks(watcher, pid))[0]
                if blocking and blocker.get_server_pid() in waits_for:
                    await blocker.execute("ROLLBACK")
                    blocking, started = False, time.perf_counter()
                await asyncio.wait({running}, timeout=_PAUSE)
            return Observation(await running, observed, time.perf_counter() - started)
        finally:
            running.cancel()


@contextlib.asynccontextmanager
async def _session(settings: Settings) -> AsyncIterator["Connection[Record]"]:
    connection = await connect(settings, application_name="partman plan")
    try:
        yield connection
    finally:
        connection.terminate()
