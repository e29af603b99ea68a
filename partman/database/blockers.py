"""Look at what a server process waits for, while its statement runs."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import CONNECTION_LOST
from partman.database.other_sessions import Obstacle, in_the_way, obstacles_of
from partman.database.side_connection import SideConnection
from partman.errors import PartmanError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_FAILED = (PartmanError, asyncpg.PostgresError, *CONNECTION_LOST)

_SHORT = "SET statement_timeout = 5000; SET lock_timeout = 100"

Look = Callable[["Connection[Record]"], Awaitable[object]]


class Blockers:
    """Finds which sessions block a server process, over a connection of its own.

    It asks before a lock timeout expires, because afterwards the server cannot tell. Its statements
    are short and commit at once, so a build never waits for them. It connects when it first has
    something to ask, and never raises: a run does without it.
    """

    def __init__(self, settings: Settings, pid: int) -> None:
        self.pid = pid
        """The server process that is looked at."""
        self.found: tuple[Obstacle, ...] = ()
        """What it has waited for, as far as that was seen since forget()."""
        self._connection = SideConnection(settings, "partman: blockers", _SHORT)
        self._turn = asyncio.Lock()

    @contextlib.contextmanager
    def watching(self, pauses: Iterable[float], look: Look | None = None) -> Iterator[None]:
        """Look again and again for the duration of a block, after each of the pauses, in seconds.

        ``look`` gets the connection; without one, ``found`` is what counts.
        """
        stopped = asyncio.Event()
        remaining = iter(pauses)
        first = next(remaining)
        timer = asyncio.get_running_loop().call_later(
            first, self._start, stopped, remaining, look or self.look
        )
        try:
            yield
        finally:
            timer.cancel()
            stopped.set()

    async def look(self, connection: "Connection[Record]") -> tuple[Obstacle, ...]:
        """Return what the process waits for now, and remember it."""
        now = await obstacles_of(connection, self.pid)
        self.found = now or self.found
        return now

    def forget(self) -> None:
        """Forget what was found: the next statement begins."""
        self.found = ()

    def description(self) -> str:
        """Return sentences that describe the blocking sessions."""
        return in_the_way(self.found) if self.found else "The session that held it is not known."

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def _start(self, stopped: asyncio.Event, pauses: Iterator[float], look: Look) -> None:
        self._task = asyncio.create_task(self._repeat(stopped, pauses, look))

    async def _repeat(self, stopped: asyncio.Event, pauses: Iterator[float], look: Look) -> None:
        for pause in pauses:
            async with self._turn:
                try:
                    await look(await self._connection.get())
                except _FAILED:
                    self._connection.drop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), pause)
            if stopped.is_set():
                return


def until_timeout(lock_timeout: float) -> Iterator[float]:
    """Yield pauses with which a statement is looked at before its lock timeout ends it.

    The first is long, so that a normal run pays nothing.
    """
    return itertools.chain([lock_timeout / 2], itertools.repeat(lock_timeout / 10))
