"""The engine's pool, for as long as the application runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from partman.database.engine import DatabaseEngine, project_engine

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""What Starlette and FastAPI take as ``lifespan``."""

_PATIENCE = 10.0
"""Seconds in which connections must be returned when the application stops."""


@asynccontextmanager
async def pool(*, engine: DatabaseEngine | None = None, **options: Any) -> AsyncIterator[None]:
    """Give the engine a pool for the duration of a block.

    ``options`` are those of ``asyncpg.create_pool``, such as ``max_size``. ``engine`` is
    piccolo_conf's, unless another is given. At the end, connections that are not returned within
    10 seconds are dropped. Raises PartmanError if the database cannot be reached.
    """
    engine = engine or project_engine(DatabaseEngine)
    await engine.start_connection_pool(**options)
    started = engine.pool
    assert started is not None
    try:
        yield
    finally:
        engine.pool = None
        try:
            async with asyncio.timeout(_PATIENCE):
                await started.close()
        except TimeoutError:
            started.terminate()


def with_pool(
    lifespan: Lifespan | None = None, *, engine: DatabaseEngine | None = None, **options: Any
) -> Lifespan:
    """Return a lifespan with the pool around the application's own, which may use it.

    ``app = FastAPI(lifespan=with_pool(max_size=20))``, or ``with_pool(own_lifespan)``. The
    arguments are those of ``pool()``.
    """

    @asynccontextmanager
    async def around(app: Any) -> AsyncIterator[Any]:
        async with pool(engine=engine, **options):
            if lifespan is None:
                yield None
                return
            async with lifespan(app) as state:
                yield state

    return around
