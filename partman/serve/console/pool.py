"""The connections on which the console works, whatever its login may do."""

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
"""Connections."""
_LIMITS = {
    # A row that somebody keeps locked must not keep all connections.
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
"""What a session begins with, and is reset to, beside the role."""
_PATIENCE = 0.3
"""Seconds in which they have to be given back when the service ends."""


@asynccontextmanager
async def connection_pool(settings: Settings, role: str) -> AsyncIterator[None]:
    """Give Piccolo a pool for the duration of a block. It connects when it is first used.

    Each connection works as ``role``, so that a login that may do more, as the owner in
    development, does not. Behind a pooler the login itself has to be that role. Where neither is
    so, connecting raises PermissionDeniedError.
    """
    engine = project_engine(DatabaseEngine)
    with engine.working_on(settings):
        options = {}
        if settings.pooling is not Pooling.TRANSACTION:
            begins_with = engine.config["server_settings"] | _LIMITS | {"role": role}
            options["server_settings"] = begins_with
        refuse_others = partial(_refuse_others, role)
        await engine.start_connection_pool(
            min_size=0, max_size=LARGEST, init=refuse_others, **options
        )
    pool = engine.pool
    assert pool is not None
    try:
        yield
    finally:
        engine.pool = None
        with suppress(TimeoutError):  # the driver has dropped them then
            await asyncio.wait_for(pool.close(), _PATIENCE)


async def _refuse_others(role: str, connection: "PoolConnectionProxy[Record]") -> None:
    """Refuse to work as any other role: a pooler may ignore what a session is to begin with."""
    current = await connection.fetchval("SELECT current_user")
    if current != role:
        raise PermissionDeniedError(
            f"The console works as {current}, and not as {role}; nothing was asked of the "
            f"database. Behind a pooler the login itself has to be {role}: name it in "
            "DATABASE_URL."
        )
