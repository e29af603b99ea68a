"""The connections of the service; they do not require a database when the service starts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from partman.connection_url import describe
from partman.database import embedded
from partman.database.connection import connect, session_settings
from partman.database.explain import CONNECTION_LOST
from partman.errors import DatabaseUnavailableError, PermissionDeniedError
from partman.settings import Pooling, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")

APPLICATION_NAME = "partman serve"
PATIENCE = 30.0
"""Default seconds that a reader waits for the database."""

_GOODBYE = 0.1
"""Seconds to close a connection, because the server may not answer."""
_LOST = (*CONNECTION_LOST, asyncpg.OperatorInterventionError)
"""Also raised if an administrator or a server setting ends the session."""


class Reader:
    """Reads the ledger and the catalog, with the privileges of the login itself.

    The one connection is kept open and reopened when it is lost. Nothing takes longer than
    ``patience`` seconds: connecting, waiting for the previous question, or the queries. It starts
    no embedded server.
    """

    def __init__(self, settings: Settings, *, patience: float = PATIENCE) -> None:
        self._settings = settings
        self._patience = patience
        self._kept: Connection[Record] | None = None
        self._lock = asyncio.Lock()
        self._limit = _Limit()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection[Record]"]:
        """Lend the connection for the duration of a block. Raises what connect() raises.

        In the block, errors of the driver are not translated; a lost connection, or one whose time
        was over, is asyncpg.PostgresConnectionError or InterfaceError.
        """
        async with self._lent(self._deadline()) as connection:
            yield connection

    async def ask(self, question: Callable[["Connection[Record]"], Awaitable[T]]) -> T:
        """Run a question; repeat it once over a new connection if the kept one was lost.

        Raises DatabaseUnavailableError, PermissionDeniedError and what connect() raises.
        """
        deadline = self._deadline()
        was_kept = self._kept is not None
        try:
            try:
                async with self._lent(deadline) as connection:
                    return await question(connection)
            except _LOST:
                if not was_kept or self._is_over(deadline):
                    raise
            async with self._lent(deadline) as connection:
                return await question(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise PermissionDeniedError(
                f"{self._where} refused the login permission to read: {error}."
            ) from error
        except (*_LOST, asyncpg.PostgresError) as error:
            reason = "no answer in time" if self._is_over(deadline) else error
            raise DatabaseUnavailableError(
                f"{self._where} cannot be read: {reason}.", transient=True
            ) from error

    async def close(self) -> None:
        """Close the connection; the next question would open it again."""
        self._limit.close()
        if self._kept is not None and not self._kept.is_closed():
            # If the server does not answer, the driver drops the connection.
            with suppress(TimeoutError, *_LOST):
                await self._kept.close(timeout=_GOODBYE)

    @asynccontextmanager
    async def _lent(self, deadline: float) -> AsyncIterator["Connection[Record]"]:
        await self._take_turn(deadline)
        try:
            if self._kept is None or self._kept.is_closed():
                self._kept = await self._connect(deadline)
            connection = self._kept
            # No timeout around the block: the driver would send a cancel request to a server that
            # does not answer, and wait for it.
            self._limit.begin(connection, deadline)
            try:
                yield connection
            except (*_LOST, asyncio.CancelledError):
                # The driver may not have noticed the end yet. Its cancel request may also have
                # arrived before the statement, which would then run to its end.
                connection.terminate()
                raise
            finally:
                self._limit.end()
        finally:
            self._lock.release()

    async def _take_turn(self, deadline: float) -> None:
        if not self._lock.locked():
            await self._lock.acquire()  # at once; a timer would cost more than this
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._lock.acquire()
        except TimeoutError:
            raise DatabaseUnavailableError(
                f"{self._where} has not answered the previous question.", transient=True
            ) from None

    async def _connect(self, deadline: float) -> "Connection[Record]":
        settings = await asyncio.to_thread(_without_starting, self._settings)
        return await connect(
            settings,
            application_name=APPLICATION_NAME,
            timeout=max(0.05, deadline - asyncio.get_running_loop().time()),
            **self._options(settings),
        )

    def _options(self, settings: Settings) -> dict[str, Any]:
        # A pooler that shares sessions rejects settings for the session.
        if settings.pooling is Pooling.TRANSACTION:
            return {"statement_cache_size": 0}
        assert settings.database_url is not None
        # The server process must not wait longer than the client.
        patience = str(round(self._patience * 1000))
        harmless = {
            "default_transaction_read_only": "on",
            "statement_timeout": patience,
            "lock_timeout": patience,
        }
        session = session_settings(settings, settings.database_url, APPLICATION_NAME)
        return {"server_settings": {**session, **harmless}}

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._patience

    def _is_over(self, deadline: float) -> bool:
        return asyncio.get_running_loop().time() >= deadline

    @property
    def _where(self) -> str:
        url = self._settings.database_url
        return "The embedded server" if url is None else describe(url)


class _Limit:
    """Drops the connection of a question whose time is over.

    One timer for many questions, as probes come by the thousand: it is set anew when it has fired.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._question: tuple[Connection[Record], float] | None = None

    def begin(self, connection: "Connection[Record]", deadline: float) -> None:
        """Limit a question; the deadline is no earlier than that of the last one."""
        self._question = connection, deadline
        if self._timer is None:
            self._set(deadline)

    def end(self) -> None:
        """End the question, which has its answer."""
        self._question = None

    def close(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, deadline: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._question is None:
            return
        connection, deadline = self._question
        if asyncio.get_running_loop().time() >= deadline:
            connection.terminate()
        else:
            self._set(deadline)


def _without_starting(settings: Settings) -> Settings:
    """Return settings that name the database; raise if the embedded server is not running."""
    if settings.database_url is not None:
        return settings
    url = embedded.status(settings.data_directory).url
    if url is None:
        raise DatabaseUnavailableError(
            "The embedded server is not running. Start it: partman server start", transient=True
        )
    return replace(settings, database_url=url)
