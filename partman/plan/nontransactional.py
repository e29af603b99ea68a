"""The locks of a statement that cannot run in a transaction, as another session sees them.

Without rows it is over in a millisecond, before anybody could look. So a bystander holds a weak
lock on every table, for which each such statement waits; it goes away as soon as the statement
has been seen to wait.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from partman.database.connection import connect
from partman.migration.runner.observer import Send
from partman.plan.state import Held, locks
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PAUSE = 0.001
"""Seconds between two looks."""


@dataclass(frozen=True)
class Seen:
    """What a statement did, and what it returned."""

    result: Any
    locks: set[Held]
    duration: float
    """Seconds, without the time that it waited for the bystander."""


async def watch_from_outside(
    settings: Settings,
    connection: "Connection[Record]",
    tables: Sequence[str],
    send: Send,
) -> Seen:
    """Run a statement of ``connection``; look at it from another one all the while."""
    pid = connection.get_server_pid()
    async with _session(settings) as watcher, _session(settings) as bystander:
        if tables:
            await bystander.execute(
                f"BEGIN; LOCK TABLE {', '.join(tables)} IN SHARE UPDATE EXCLUSIVE MODE"
            )
        started = time.perf_counter()
        running = asyncio.ensure_future(send())
        seen: set[Held] = set()
        stands_by = bool(tables)
        try:
            while not running.done():
                waits_for = await watcher.fetchval("SELECT pg_blocking_pids($1)", pid)
                seen |= (await locks(watcher, pid))[0]
                if stands_by and bystander.get_server_pid() in waits_for:
                    await bystander.execute("ROLLBACK")
                    stands_by, started = False, time.perf_counter()
                await asyncio.wait({running}, timeout=_PAUSE)
            return Seen(await running, seen, time.perf_counter() - started)
        finally:
            running.cancel()


@contextlib.asynccontextmanager
async def _session(settings: Settings) -> AsyncIterator["Connection[Record]"]:
    connection = await connect(settings, application_name="partman plan")
    try:
        yield connection
    finally:
        connection.terminate()
