"""Two organizations in one database, and an application with a login of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal

import piccolo_conf
from partman.engine import PartmanEngine
from partman.settings import Settings
from partman.tables import TABLES, TENANCY
from tests.shared import unique_name
from tests.support import Database, execute, fetch, server_url

DEADLINE = 60.0
"""Seconds after which a waiting test fails. Only to end a test that hangs."""


@dataclass(frozen=True)
class Tenants:
    """A migrated database with one partner for each of two organizations."""

    database: Database
    url: str
    """The URL of the application's role, which has no privileges of its own."""
    first: UUID = field(default_factory=uuid4)
    second: UUID = field(default_factory=uuid4)

    @property
    def role(self) -> str:
        return str(urlsplit(self.url).username)

    def engine(self, url: str = "", **variables: str) -> PartmanEngine:
        settings = Settings.load({"DATABASE_URL": url or self.url, **variables})
        return PartmanEngine(settings=settings, tenancy=TENANCY)

    async def add_organizations(self) -> None:
        """Add both as the owner, with one partner each."""
        await self.as_owner(
            "WITH added AS (INSERT INTO organizations (id, name, subdomain) VALUES"
            " ($1, 'first', 'first'), ($2, 'second', 'second') RETURNING id, name)"
            " INSERT INTO partners (organization_id, name, domain, commission_structure)"
            " SELECT id, 'partner of the ' || name, 'example.com', '{}' FROM added",
            self.first,
            self.second,
        )

    async def add_partner(self, organization: UUID, name: str) -> None:
        """Add a partner as the owner, outside of tenants."""
        await self.as_owner(
            "INSERT INTO partners (organization_id, name, domain, commission_structure)"
            " VALUES ($1, $2, 'example.com', '{}')",
            organization,
            name,
        )

    async def partners(self) -> list[str]:
        """Return the names of all organizations' committed partners."""
        return [row["name"] for row in await self.as_owner("SELECT name FROM partners ORDER BY 1")]

    async def as_owner(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        return await fetch(self.database.url, sql, *arguments)

    async def sessions(self) -> list[str]:
        """Return the states of the application's sessions: idle, active, idle in transaction …"""
        rows = await self.as_owner(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = $1 AND backend_type = 'client backend'",
            self.role,
        )
        return [row["state"] for row in rows]


@contextmanager
def login_role(*rights: str) -> Iterator[str]:
    """Create a login role with these roles granted to it."""
    name = unique_name()
    grants = [f"GRANT {right} TO {name}" for right in rights]
    # Needed to see the states of its sessions in pg_stat_activity.
    grants.append(f"GRANT {name} TO CURRENT_USER")
    execute(server_url(), f"CREATE ROLE {name} LOGIN", *grants)
    try:
        yield name
    finally:
        execute(server_url(), f"DROP ROLE {name}")


def use(engine: PartmanEngine, patch: pytest.MonkeyPatch) -> None:
    """Make this the engine of piccolo_conf and of the tables."""
    patch.setattr(piccolo_conf, "DB", engine)
    for table in TABLES:
        patch.setattr(table._meta, "_db", engine)


@asynccontextmanager
async def in_use(
    engine: PartmanEngine, patch: pytest.MonkeyPatch, *, pool: bool
) -> AsyncIterator[PartmanEngine]:
    """Use the engine, with a pool of one connection or without a pool."""
    use(engine, patch)
    if pool:
        await engine.start_connection_pool(min_size=1, max_size=1)
    try:
        yield engine
    finally:
        if pool and engine.pool is not None:
            async with asyncio.timeout(DEADLINE):
                await engine.close_connection_pool()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Repeat the check until it succeeds."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 -- no event tells of other sessions
            await asyncio.sleep(0.01)


async def none_in_transaction(tenants: Tenants) -> bool:
    return not {"idle in transaction", "active", "idle in transaction (aborted)"} & set(
        await tenants.sessions()
    )


@contextmanager
def held(url: str, statement: str) -> Iterator[None]:
    """Keep another session's transaction open for the block, and commit it afterwards."""
    with start_blocking_portal() as portal:
        connection = portal.call(asyncpg.connect, url)
        portal.call(connection.execute, f"BEGIN; {statement}")
        try:
            yield
        finally:
            portal.call(connection.execute, "COMMIT")
            portal.call(connection.close)
