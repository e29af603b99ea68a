"""The connections on which the console works, whatever its login may do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import PermissionDeniedError
from partman.settings import Pooling, Settings
from partman.tables.isolation import CONSOLE

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

LARGEST = 10
"""Connections."""
_AS_CONSOLE = {
    "role": CONSOLE,
    # A row that somebody keeps locked must not keep all connections.
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
"""What a session begins with, and is reset to."""
_PATIENCE = 0.3
"""Seconds in which they have to be given back when the service ends."""


@asynccontextmanager
async def connection_pool(settings: Settings) -> AsyncIterator[None]:
    """Give Piccolo a pool for the duration of a block. It connects when it is first used.

    Each connection works as the console's role, so that a login that may do more, as the owner in
    development, does not. Behind a pooler the login itself has to be that role. Where neither is
    so, connecting raises PermissionDeniedError.
    """
    engine = project_engine(DatabaseEngine)
    with engine.working_on(settings):
        options = {}
        if settings.pooling is not Pooling.TRANSACTION:
            options["server_settings"] = engine.config["server_settings"] | _AS_CONSOLE
        await engine.start_connection_pool(
            min_size=0, max_size=LARGEST, init=_refuse_other_roles, **options
        )
    pool = engine.pool
    assert pool is not None
    try:
        yield
    finally:
        engine.pool = None
        with suppress(TimeoutError):  # the driver has dropped them then
            await asyncio.wait_for(pool.close(), _PATIENCE)


async def _refuse_other_roles(connection: "PoolConnectionProxy[Record]") -> None:
    """Refuse to work as anybody else: a pooler may ignore what a session is to begin with."""
    role = await connection.fetchval("SELECT current_user")
    if role != CONSOLE:
        raise PermissionDeniedError(
            f"The console works as {role}, and not as {CONSOLE}; nothing was asked of the "
            f"database. Behind a pooler the login itself has to be {CONSOLE}: name it in "
            "DATABASE_URL."
        )
