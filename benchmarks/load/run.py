"""One run of the load test: fill a database, let the clients work, look at the rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from benchmarks.load.clients import Load, Outcome, run_clients
from benchmarks.load.data import Afterwards, look_afterwards
from partman.asgi import pool
from partman.database.engine import project_engine
from partman.engine import PartmanEngine
from partman.settings import Settings

POOL = 5
"""Number of connections to the server."""


@dataclass(frozen=True)
class Way:
    """How the application reaches the database."""

    url: str
    """The application's login."""
    pooling: str
    pool: int
    """Number of the application's connections."""


async def run(
    owner: str, way: Way, partners: Mapping[str, UUID], load: Load
) -> tuple[Outcome, Afterwards]:
    """Return what the clients saw, and what the owner sees afterwards.

    Raises RuntimeError without PARTMAN_SECRET, and LockNotAvailableError if a transaction is open.
    """
    from docs.example.app import app

    settings = Settings.load(
        {
            "DATABASE_URL": way.url,
            "PARTMAN_ENV": "test",
            "PARTMAN_POOLING": way.pooling,
            "PARTMAN_POOL_WAIT": "60",  # the clients wait, instead of being refused
        }
    )
    with project_engine(PartmanEngine).working_on(settings):
        async with pool(min_size=1, max_size=way.pool):
            outcome = await run_clients(app, partners, load)
    return outcome, await look_afterwards(owner, outcome.reported)
