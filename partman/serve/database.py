"""The connections of the service: it starts, and says what is wrong, without a database too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from partman.database.connection import connect
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class Reader:
    """Looks at the ledger and the catalog, with the rights of the login itself.

    One connection, kept open for the next question and opened anew when it is lost.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: Connection[Record] | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection[Record]"]:
        """Lend the connection for the duration of a block. Raises what connect() does."""
        async with self._lock:
            if self._kept is None or self._kept.is_closed():
                self._kept = await connect(self._settings, application_name="partman serve")
            yield self._kept

    async def close(self) -> None:
        """Close it; the next question would open it again."""
        if self._kept is not None:
            await self._kept.close()
