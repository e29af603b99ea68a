"""Detect a pooler that may run each transaction in another server process."""

import contextlib
from typing import TYPE_CHECKING

from partman.database.connection import connect
from partman.errors import UnsupportedServerError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ATTEMPTS = 4


async def refuse_transaction_pooling(connection: "Connection[Record]", settings: Settings) -> None:
    """Raise UnsupportedServerError if the connection goes through a transaction pooler.

    A pooler reports a process ID of its own, which differs from the server process's. If a second
    connection then gets the server process of the first one, which is still open, server processes
    are assigned per transaction: session settings and session locks would not stay with us.
    """
    pid = await _server_process(connection)
    if pid == connection.get_server_pid():
        return
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
                raise UnsupportedServerError(
                    "The connection goes through a pooler in transaction pooling mode, such as "
                    "pgbouncer. Migrations need a session of their own for the migration lock and "
                    "the timeouts. Nothing was run. Point DATABASE_URL to "
                    "the server itself, or to a pool in session mode."
                )


async def _server_process(connection: "Connection[Record]") -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid
