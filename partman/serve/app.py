"""The ASGI application, put together from its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from partman.serve.database import Reader
from partman.settings import Settings


def create_app(settings: Settings) -> Starlette:
    """Return the application. Raises SettingsError; connects to nothing before it is asked."""
    reader = Reader(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await reader.close()

    app = Starlette(lifespan=lifespan, routes=[])
    app.state.settings = settings
    app.state.reader = reader
    return app
