"""The connections on which the console works, whatever its login may do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piccolo.engine.finder import engine_finder

from partman.engine import PartmanEngine
from partman.settings import Pooling, Settings
from partman.tables.isolation import CONSOLE

LARGEST = 10
"""Connections."""
_PATIENCE = 0.3
"""Seconds in which they have to be given back when the service ends."""


@asynccontextmanager
async def connection_pool(settings: Settings) -> AsyncIterator[None]:
    """Give Piccolo a pool for the duration of a block. It connects when it is first used.

    Each connection works as the console's role, so that a login that may do more, as the owner in
    development, does not. Behind a pooler the login itself has to be that role.
    """
    engine = engine_finder()
    if not isinstance(engine, PartmanEngine):
        raise TypeError("piccolo_conf.DB is no PartmanEngine.")
    with engine.working_on(settings):
        options = {}
        if settings.pooling is not Pooling.TRANSACTION:
            options["server_settings"] = engine.config["server_settings"] | {"role": CONSOLE}
        await engine.start_connection_pool(min_size=0, max_size=LARGEST, **options)
    pool = engine.pool
    assert pool is not None
    try:
        yield
    finally:
        engine.pool = None
        try:
            await asyncio.wait_for(pool.close(), _PATIENCE)
        except TimeoutError:
            pool.terminate()
