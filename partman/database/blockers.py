"""Who keeps a statement from its lock."""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg

from partman.database.connection import connect
from partman.database.explain import shortened
from partman.errors import PartmanError
from partman.settings import Settings

_PATIENCE = 0.5
"""The part of lock_timeout after which we look: late enough to cost a normal run nothing."""

_BLOCKING = """
SELECT pid, application_name, coalesce(query, '') AS query,
       coalesce(round(extract(epoch FROM now() - query_start), 1)::text || ' s', 'some time') AS age
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))
"""


class Blockers:
    """Looks, over a connection of its own, whom a server process is waiting for.

    When the lock timeout has struck, nobody can tell any more; so it looks before.
    """

    def __init__(self, settings: Settings, pid: int) -> None:
        self._settings = settings
        self._pid = pid
        self._found: list[str] = []
        self._look: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for the duration of a statement."""
        after = self._settings.policy.lock_timeout * _PATIENCE
        if not after:
            yield
            return
        timer = asyncio.get_running_loop().call_later(after, self._start)
        try:
            yield
        finally:
            timer.cancel()
            if self._look is not None:
                self._look.cancel()
                self._look = None

    def found(self) -> str:
        """Say who it was."""
        if not self._found:
            return "Who held it is not known any more."
        return f"It was held by {'; '.join(self._found)}."

    def _start(self) -> None:
        self._look = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """Ask, over and over: the last answer before the timeout is the right one."""
        with contextlib.suppress(PartmanError, asyncpg.PostgresError, OSError):
            connection = await connect(self._settings, application_name="partman: looking")
            try:
                while True:
                    rows = await connection.fetch(_BLOCKING, self._pid)
                    if rows:
                        self._found = [_describe(row) for row in rows]
                    await asyncio.sleep(self._settings.policy.lock_timeout / 10)
            finally:
                connection.terminate()


def _describe(row: asyncpg.Record) -> str:
    name = row["application_name"] or "an application without a name"
    return f"pid {row['pid']} ({name}), its query {row['age']} old: {shortened(row['query'], 80)}"
