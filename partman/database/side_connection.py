"""A connection beside another one, for questions that must not disturb it."""

from typing import TYPE_CHECKING, Any

from partman.database.connection import connect
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class SideConnection:
    """Connects when it is first used, and again after the connection was lost."""

    def __init__(
        self, settings: Settings, application_name: str, session: str, **options: Any
    ) -> None:
        """``session`` is the SQL that prepares a session; ``options`` are connect()'s."""
        self._settings = settings
        self._application_name = application_name
        self._session = session
        self._options = options
        self._connection: Connection[Record] | None = None
        self._is_closed = False

    async def get(self) -> "Connection[Record]":
        """Return the connection; a closed one after close(). Raises what connect() does."""
        if self._connection is None or self._connection.is_closed():
            connection = await connect(
                self._settings, application_name=self._application_name, **self._options
            )
            await connection.execute(self._session)
            self._connection = connection
            if self._is_closed:  # while it was connecting
                connection.terminate()
        return self._connection

    def drop(self) -> None:
        """End the connection; the next question opens another one."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def close(self) -> None:
        """End the connection for good."""
        self._is_closed = True
        self.drop()
