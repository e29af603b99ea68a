"""Measure the cost of entering and leaving ``tenant()`` without a query in between."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

from benchmarks.server import Server
from benchmarks.tenants.backend import backend, cpu_of
from benchmarks.tenants.compare import Effort, paired_ratio
from benchmarks.tenants.data import Data
from partman.engine import PartmanEngine
from partman.settings import Settings
from partman.tables import TENANCY
from partman.tenant import tenant
from partman.tenant.connection import beginning

_COST = 0.0003
"""Approximate seconds per entry, from which the entries per sample are derived."""
_PAIRS = 41
"""Samples of each way in a server process."""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one entry."""

    server: float
    client: float

    @property
    def both(self) -> float:
        """CPU seconds of the server process and of this one."""
        return self.server + self.client


@dataclass
class Way:
    """A way to begin and end a transaction."""

    name: str
    compared_with: "Way | None" = None
    costs: list[list[Cost]] = field(default_factory=list)
    """The samples of each server process."""

    @property
    def server(self) -> float:
        """CPU seconds of the server process."""
        return median(median(cost.server for cost in costs) for costs in self.costs)

    @property
    def client(self) -> float:
        """CPU seconds of this process."""
        return median(median(cost.client for cost in costs) for costs in self.costs)

    def ratios(self, of: Callable[[Cost], float]) -> list[float]:
        """Return how often each server process has found the cost of the compared way."""
        base = self.compared_with or self
        return [
            paired_ratio([*map(of, ours)], [*map(of, theirs)])
            for ours, theirs in zip(self.costs, base.costs, strict=True)
        ]


@dataclass(frozen=True)
class Entry:
    """A way, over one connection."""

    once: Callable[[], Awaitable[object]]
    pid: int
    """The ID of the server process."""


def measure_entering(server: Server, data: Data, effort: Effort) -> list[Way]:
    """Measure all ways alternately."""
    server.administer(f"ALTER ROLE {TENANCY.roles.api} LOGIN")
    sql = Way("`BEGIN`, `COMMIT`")
    piccolo = Way("`engine.transaction()`, with a pool")
    ways = [
        sql,
        Way("what `tenant()` sends, `COMMIT`", sql),
        piccolo,
        Way("`tenant()`, with a pool", piccolo),
    ]
    for number in range(effort.rounds):
        print(f"\rentering {number}/{effort.rounds}", end="", file=sys.stderr, flush=True)
        asyncio.run(_measure(server, data, effort, ways))
    print(file=sys.stderr)
    return ways


async def _measure(server: Server, data: Data, effort: Effort, ways: list[Way]) -> None:
    api = TENANCY.roles.api
    url = server.database_url(data.database, api)
    organization = data.tenants[0]
    async with backend(server, data.database, api) as process, _pool_of_one(url) as engine:
        entries = _in_sql(process.connection, beginning(TENANCY, organization.id))
        entries += await _with_piccolo(engine, organization.id)
        for way in ways:
            way.costs.append([])
        times = max(1, round(effort.sample / _COST))
        measured = [*zip(entries, ways, strict=True)]
        for entry in entries:
            await _sample(entry, times)
        for _ in range(_PAIRS if effort.sample else 1):
            for entry, way in measured:
                way.costs[-1].append(await _sample(entry, times))
            measured.reverse()  # so that each way comes first equally often


def _in_sql(connection: Any, begin: str) -> list[Entry]:
    """Return entries that send the statements directly: an empty transaction, and a tenant's."""

    async def bare() -> None:
        await connection.execute("BEGIN")
        await connection.execute("COMMIT")

    async def isolated() -> None:
        await connection.execute(begin)
        await connection.execute("COMMIT")

    pid = connection.get_server_pid()
    return [Entry(bare, pid), Entry(isolated, pid)]


@asynccontextmanager
async def _pool_of_one(url: str) -> AsyncIterator[PartmanEngine]:
    engine = PartmanEngine(settings=Settings.load({"DATABASE_URL": url}), tenancy=TENANCY)
    # By default the driver replaces a connection, and so the process, after 50,000 queries.
    await engine.start_connection_pool(min_size=1, max_size=1, max_queries=10**9)
    try:
        yield engine
    finally:
        await engine.close_connection_pool()


async def _with_piccolo(engine: PartmanEngine, organization_id: UUID) -> list[Entry]:
    """Return entries as an application writes them, with a connection from a pool."""

    async def bare() -> None:
        async with engine.transaction():
            pass

    async def isolated() -> None:
        async with tenant(organization_id, engine=engine):
            pass

    async with tenant(organization_id, engine=engine) as transaction:
        pid = await transaction.connection.fetchval("SELECT pg_backend_pid()")
    return [Entry(bare, pid), Entry(isolated, pid)]


async def _sample(entry: Entry, times: int) -> Cost:
    server, client = cpu_of(entry.pid), time.process_time()
    for _ in range(times):
        await entry.once()
    return Cost((cpu_of(entry.pid) - server) / times, (time.process_time() - client) / times)
