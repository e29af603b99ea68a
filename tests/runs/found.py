"""What a run has left in a database: the contents, and what is recorded of the migrations."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.boundaries import alone
from tests.runs.model import Contents, read

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True)
class Found:
    """What a run has left."""

    contents: Contents
    ledger: tuple[str, ...]
    history: tuple[tuple[str, str], ...]
    """Migration and outcome of each run."""
    finished: int
    """How many steps of an online migration are recorded as done."""
    running: int
    """How many have only begun."""


def find(url: str) -> Found:
    """Read it as soon as the server has noticed that nobody else is connected any more."""

    async def find_now() -> Found:
        async with alone(url) as connection:
            return await _found(connection)

    return asyncio.run(find_now())


async def _found(connection: "asyncpg.Connection[asyncpg.Record]") -> Found:
    async def rows(table: str, columns: str) -> list[tuple[object, ...]]:
        if not await connection.fetchval(f"SELECT to_regclass('public.{table}')"):
            return []
        return [*map(tuple, await connection.fetch(f"SELECT {columns} FROM {table}"))]

    history = sorted(await rows("migration_history", "id, migration, outcome"))
    steps = await rows("migration_step", "finished_at IS NULL")
    return Found(
        await read(connection),
        tuple(sorted(str(name) for (name,) in await rows("migration", "name"))),
        tuple((str(name), str(outcome)) for _, name, outcome in history),
        steps.count((False,)),
        steps.count((True,)),
    )
