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
from benchmarks.tenants.compare import Effort
from benchmarks.tenants.data import Data
from partman.engine import PartmanEngine
from partman.settings import Settings
from partman.tables import TENANCY
from partman.tenant import tenant
from partman.tenant.connection import beginning

_COST = 0.00003
"""Approximate seconds per entry, from which the entries per sample are derived."""


@dataclass
class Entry:
    """A way to begin and end a transaction, measured in CPU seconds."""

    name: str
    once: Callable[[], Awaitable[object]]
    pid: int
    """The ID of the server process."""
    compared_with: "Entry | None" = None
    servers: list[float] = field(default_factory=list)
    clients: list[float] = field(default_factory=list)

    @property
    def server(self) -> float:
        """CPU seconds of the server process."""
        return median(self.servers)

    @property
    def client(self) -> float:
        """CPU seconds of this process."""
        return median(self.clients)


def measure_entering(server: Server, data: Data, effort: Effort) -> list[Entry]:
    """Measure all ways alternately."""
    server.administer(f"ALTER ROLE {TENANCY.roles.api} LOGIN")
    return asyncio.run(_measure(server, data, effort))


async def _measure(server: Server, data: Data, effort: Effort) -> list[Entry]:
    api = TENANCY.roles.api
    url = server.database_url(data.database, api)
    organization = data.tenants[0]
    async with backend(server, data.database, api) as process, _pool_of_one(url) as engine:
        entries = _in_sql(process.connection, beginning(TENANCY, organization.id))
        entries += await _with_piccolo(engine, organization.id)
        times = max(1, round(effort.sample / _COST))
        rounds = 5 * effort.rounds  # short measurements need more samples
        for number in range(rounds + 1):
            print(f"\rentering {number}/{rounds}", end="", file=sys.stderr, flush=True)
            for entry in entries[:: 1 if number % 2 else -1]:
                await _sample(entry, times, counts=number > 0)
    print(file=sys.stderr)
    return entries


def _in_sql(connection: Any, begin: str) -> list[Entry]:
    """Return entries that send the statements directly."""

    async def bare() -> None:
        await connection.execute("BEGIN")
        await connection.execute("COMMIT")

    async def isolated() -> None:
        await connection.execute(begin)
        await connection.execute("COMMIT")

    pid = connection.get_server_pid()
    first = Entry("`BEGIN`, `COMMIT`", bare, pid)
    return [first, Entry("what `tenant()` sends, `COMMIT`", isolated, pid, first)]


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
    first = Entry("`engine.transaction()`, with a pool", bare, pid)
    return [first, Entry("`tenant()`, with a pool", isolated, pid, first)]


async def _sample(entry: Entry, times: int, *, counts: bool) -> None:
    server, client = cpu_of(entry.pid), time.process_time()
    for _ in range(times):
        await entry.once()
    if counts:
        entry.servers.append((cpu_of(entry.pid) - server) / times)
        entry.clients.append((time.process_time() - client) / times)
