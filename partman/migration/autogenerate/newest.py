"""The scratch database at the newest version, in which migrations are tried, or in a copy of it.

Its session costs more than the database: PostgreSQL needs five times as long for the first read of
a catalog in a session as for the next. So migrations are tried in the database itself, read over
the same session, where it is left as it was or is not needed any more.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.migration.verification.rebuild import replay
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


@dataclass(frozen=True)
class Scratch:
    """A scratch database, and a connection for all its reads."""

    settings: Settings
    reader: "Connection[Record]"


@contextlib.asynccontextmanager
async def over_one_connection(settings: Settings) -> AsyncIterator[Scratch]:
    """Connect to a scratch database for the duration of a block."""
    async with connected(settings, "partman: catalog") as reader:
        yield Scratch(settings, reader)


class Newest:
    """A scratch database on which the earlier migrations were applied, and no others."""

    def __init__(self, server: Settings, stack: contextlib.AsyncExitStack) -> None:
        """``stack`` is closed when the database is not needed any more."""
        self._server = server
        self._stack = stack
        self._scratch: Scratch | None = None

    async def created(self) -> Scratch:
        """Return a new database, which is empty: the caller applies the earlier migrations."""
        settings = await self._stack.enter_async_context(scratch_database(self._server))
        return await self._connected(settings)

    async def to_read(self) -> Scratch:
        """Return the database, in which the caller leaves nothing."""
        if self._scratch is None:
            await replay((await self.created()).settings)
        elif self._scratch.reader.is_closed():
            await self._connected(self._scratch.settings)
        assert self._scratch is not None
        return self._scratch

    async def to_change(self) -> Scratch:
        """Return the database; unless it comes back by ``restored()``, the next one is built anew.

        Call this where Piccolo finds the earlier migrations only.
        """
        scratch = await self.to_read()
        self._scratch = None
        return scratch

    def restored(self, scratch: Scratch) -> None:
        """Take back the database that ``to_change()`` has returned: it is as it was."""
        self._scratch = scratch

    @contextlib.asynccontextmanager
    async def copied(self) -> AsyncIterator[Settings]:
        """Yield a copy of the database. As to_change(), where others might have to be applied."""
        scratch = self._scratch or await self.to_read()
        # PostgreSQL copies no database in which somebody is.
        await scratch.reader.close()
        name = urlsplit(scratch.settings.database_url or "").path.removeprefix("/")
        async with scratch_database(self._server, template=name) as copy:
            yield copy

    async def _connected(self, settings: Settings) -> Scratch:
        self._scratch = await self._stack.enter_async_context(over_one_connection(settings))
        return self._scratch
