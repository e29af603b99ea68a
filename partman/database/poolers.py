"""Recognising a proxy that gives each transaction to another server process."""

import contextlib
from typing import TYPE_CHECKING

from partman.database.connection import connect
from partman.errors import UnsupportedServerError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ATTEMPTS = 4


async def refuse_transaction_pooling(connection: "Connection[Record]", settings: Settings) -> None:
    """Raise UnsupportedServerError if the connection goes through such a proxy.

    A proxy answers with a process number of its own, so the server's differs. If then a second
    connection gets the server process of the first, which is still open, that process belongs
    to transactions and not to connections: settings and session locks made there would stay
    with it, and not with us.
    """
    pid = await _server_process(connection)
    if pid == connection.get_server_pid():
        return
    async with contextlib.AsyncExitStack() as others:
        for _ in range(_ATTEMPTS):
            other = await connect(
                settings, application_name="partman: looking", statement_cache_size=0, timeout=10
            )
            others.push_async_callback(other.close)
            # Kept in its transaction, so that the next one gets another process.
            await other.execute("BEGIN")
            if await other.fetchval("SELECT pg_backend_pid()") == pid:
                raise UnsupportedServerError(
                    "A proxy in transaction pooling mode (pgbouncer?) is between us and the "
                    "server. Migrations need a session of their own: for the lock that keeps "
                    "them alone, and for their timeouts. Nothing was run. Point DATABASE_URL to "
                    "the server itself, or to a pool in session mode."
                )


async def _server_process(connection: "Connection[Record]") -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid
