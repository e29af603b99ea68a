"""The connection pool of the console, which always works as the console's role."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import PermissionDeniedError
from partman.settings import Pooling, Settings

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

LARGEST = 10
"""Number of connections."""
_LIMITS = {
    # A row that another session keeps locked must not block all connections.
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
"""Settings with which a session starts, and to which it is reset, besides the role."""
_WAIT = 30.0
"""Seconds for which a request waits for a connection: as long as a statement may take."""
_PATIENCE = 0.3
"""Seconds in which connections must be returned when the service stops."""


@asynccontextmanager
async def connection_pool(settings: Settings, role: str) -> AsyncIterator[None]:
    """Give Piccolo a pool for the duration of a block. It connects on first use.

    Each connection works as ``role``, so that a login with more privileges, such as the owner in
    development, does not use them. Behind a pooler the login itself must be that role. Otherwise
    connecting raises PermissionDeniedError.
    """
    engine = project_engine(DatabaseEngine)
    with engine.working_on(settings):
        options = {}
        if settings.pooling is not Pooling.TRANSACTION:
            begins_with = engine.config["server_settings"] | _LIMITS | {"role": role}
            options["server_settings"] = begins_with
        refuse_others = partial(_refuse_others, role)
        await engine.start_connection_pool(
            min_size=0, max_size=LARGEST, wait=_WAIT, init=refuse_others, **options
        )
    pool = engine.pool
    assert pool is not None
    try:
        yield
    finally:
        engine.pool = None
        with suppress(TimeoutError):  # the driver has then dropped them
            await asyncio.wait_for(pool.close(), _PATIENCE)


async def _refuse_others(role: str, connection: "PoolConnectionProxy[Record]") -> None:
    """Raise if the session works as any other role: a pooler may ignore startup settings."""
    current = await connection.fetchval("SELECT current_user")
    if current != role:
        raise PermissionDeniedError(
            f"The console works as {current} instead of {role}; no query was sent. Behind a "
            f"pooler the login itself must be {role}: name it in DATABASE_URL."
        )
