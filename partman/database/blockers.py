"""Find the sessions that block a statement."""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg

from partman.database.connection import connect
from partman.database.explain import shortened
from partman.errors import PartmanError
from partman.settings import Settings

_DELAY = 0.5
"""Fraction of lock_timeout before the first query, so that a normal run pays nothing."""

_BLOCKING = """
SELECT pid, application_name, coalesce(query, '') AS query,
       coalesce(round(extract(epoch FROM now() - query_start), 1)::text || ' s', 'some time') AS age
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))
"""


class Blockers:
    """Find which sessions block a server process, over a connection of its own.

    It asks before the lock timeout expires, because afterwards the server cannot tell.
    """

    def __init__(self, settings: Settings, pid: int) -> None:
        self._settings = settings
        self._pid = pid
        self._found: list[str] = []
        self._query: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for the duration of a statement."""
        after = self._settings.policy.lock_timeout * _DELAY
        if not after:
            yield
            return
        timer = asyncio.get_running_loop().call_later(after, self._start)
        try:
            yield
        finally:
            timer.cancel()
            if self._query is not None:
                self._query.cancel()
                self._query = None

    def description(self) -> str:
        """Return a sentence that names the blocking sessions."""
        if not self._found:
            return "The session that held it is not known."
        return f"The lock was held by {'; '.join(self._found)}."

    def _start(self) -> None:
        self._query = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """Query repeatedly; the last answer before the timeout counts."""
        with contextlib.suppress(PartmanError, asyncpg.PostgresError, OSError):
            connection = await connect(self._settings, application_name="partman: blockers")
            try:
                while True:
                    rows = await connection.fetch(_BLOCKING, self._pid)
                    if rows:
                        self._found = [_describe(row) for row in rows]
                    await asyncio.sleep(self._settings.policy.lock_timeout / 10)
            finally:
                connection.terminate()


def _describe(row: asyncpg.Record) -> str:
    name = row["application_name"] or "no application name"
    return (
        f"pid {row['pid']} ({name}), query started {row['age']} ago: {shortened(row['query'], 80)}"
    )
