"""Detect a pooler that may run each transaction in another server process."""

import contextlib
from typing import TYPE_CHECKING

from partman.database.connection import connect
from partman.errors import UndeclaredPoolingError, UnsupportedServerError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ATTEMPTS = 4


async def refuse_transaction_pooling(connection: "Connection[Record]", settings: Settings) -> None:
    """Raise UnsupportedServerError if the connection goes through a transaction pooler."""
    if await assigns_processes_per_transaction(connection, settings):
        raise UnsupportedServerError(
            "The connection goes through a pooler in transaction pooling mode, such as "
            "pgbouncer. Migrations need a session of their own for the migration lock and "
            "the timeouts. Nothing was run. Point DATABASE_URL to "
            "the server itself, or to a pool in session mode."
        )


def undeclared_pooling() -> UndeclaredPoolingError:
    """Return the error for an application behind a transaction pooler that no setting mentions."""
    return UndeclaredPoolingError(
        "The connection goes through a pooler in transaction mode, such as pgbouncer, where one "
        "client meets the prepared statements of another. Nothing was saved. Set "
        "PARTMAN_POOLING=transaction, or let DATABASE_URL name the server itself."
    )


async def assigns_processes_per_transaction(
    connection: "Connection[Record]", settings: Settings
) -> bool:
    """Whether the connection goes through a transaction pooler.

    A pooler reports a process ID of its own, which differs from the server process's. If a second
    connection then gets the server process of the first one, which is still open, server processes
    are assigned per transaction: session settings and session locks would not stay with us.
    """
    pid = await _server_process(connection)
    if pid == connection.get_server_pid():
        return False
    async with contextlib.AsyncExitStack() as others:
        for _ in range(_ATTEMPTS):
            other = await connect(
                settings,
                application_name="partman: pooler check",
                statement_cache_size=0,
                timeout=10,
            )
            others.push_async_callback(other.close)
            # The open transaction keeps this process, so that the next connection gets another.
            await other.execute("BEGIN")
            if await other.fetchval("SELECT pg_backend_pid()") == pid:
                return True
    return False


async def _server_process(connection: "Connection[Record]") -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid
