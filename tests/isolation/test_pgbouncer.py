"""Many tenants at once, over a few connections that pgbouncer hands from one to the next."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from partman.engine import PartmanEngine
from partman.errors import TenantRolledBackError
from partman.settings import Settings
from partman.tables import TENANCY, Opportunity, Partner
from partman.tenant import tenant
from tests.faults.pgbouncer import needs_pgbouncer, pgbouncer
from tests.isolation.conftest import WHOSE_TENANT, Populated
from tests.isolation.model import new_id
from tests.summary import Record, count, thorough
from tests.support import Database, as_role
from tests.tenants import DEADLINE, use

pytestmark = needs_pgbouncer

TRANSACTIONS = 20_000 if thorough() else 2_000
TENANTS = 40
CLIENTS = 16
"""Connections to pgbouncer."""
SERVERS = 3
"""Connections from there to the server."""


class _Failure(Exception):  # noqa: N818 -- it is meant to happen
    pass


@pytest.mark.same_on_every_version
async def test_no_row_leaks_through_a_transaction_pool(
    database: Database,
    populated: Populated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    tenants = await _make_tenants(database)
    application = Database(as_role(database.url, "partman_api"))
    with pgbouncer(application, tmp_path, "transaction", f"default_pool_size = {SERVERS}") as url:
        engine = PartmanEngine(
            settings=Settings.load({"DATABASE_URL": url, "PARTMAN_POOLING": "transaction"}),
            tenancy=TENANCY,
        )
        use(engine, monkeypatch)
        await engine.start_connection_pool(min_size=CLIENTS, max_size=CLIENTS)
        run = _Run(engine, tenants)
        await asyncio.gather(*(run.worker(number) for number in range(2 * CLIENTS)))
        await asyncio.wait_for(engine.close_connection_pool(), DEADLINE)
        assert await _partners_when_nothing_is_open(database) == run.partners

    assert run.leaks == []
    assert set(run.ways) == {"committed", "failed", "cancelled", "swallowed", "forgotten"}
    assert sum(run.ways.values()) >= TRANSACTIONS
    count(record_property, transactions=sum(run.ways.values()), leaks=len(run.leaks))


class _Run:
    """Workers that take turns as one tenant after the other."""

    def __init__(self, engine: PartmanEngine, tenants: list[UUID]) -> None:
        self.engine = engine
        self.tenants = tenants
        self.partners: Counter[UUID] = Counter(dict.fromkeys(tenants, 1))
        """How many each tenant has, when all that was begun has ended."""
        self.leaks: list[tuple[UUID, object]] = []
        self.ways: Counter[str] = Counter()
        self.to_do = iter(range(TRANSACTIONS))

    async def worker(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        for _ in self.to_do:
            organization = chance.choice(self.tenants)
            match chance.randrange(20):
                case 0:
                    await self._fail(organization)
                case 1:
                    await self._be_cancelled(organization)
                case 2:
                    await self._swallow(organization)
                case 3:
                    await self._forget()
                case _:
                    await self._work(organization, adds=chance.random() < 0.05)

    async def _work(self, organization: UUID, *, adds: bool) -> None:
        async with tenant(organization, engine=self.engine):
            await self._look(organization)
            if adds:
                await Partner.insert(_partner(organization))
            await self._look(organization)
        self.partners[organization] += adds
        self.ways["committed"] += 1

    async def _fail(self, organization: UUID) -> None:
        async def add_and_fail() -> None:
            async with tenant(organization, engine=self.engine):
                await Partner.insert(_partner(organization))
                raise _Failure

        with pytest.raises(_Failure):
            await add_and_fail()
        self.ways["failed"] += 1

    async def _be_cancelled(self, organization: UUID) -> None:
        entered = asyncio.Event()

        async def wait_for_the_server() -> None:
            async with tenant(organization, engine=self.engine) as transaction:
                await Partner.insert(_partner(organization))
                entered.set()
                await transaction.connection.fetch("SELECT pg_sleep(60)")

        task = asyncio.create_task(wait_for_the_server())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, DEADLINE)
        self.ways["cancelled"] += 1

    async def _swallow(self, organization: UUID) -> None:
        async def add_and_go_on() -> None:
            async with tenant(organization, engine=self.engine):
                await Partner.insert(_partner(organization))
                with suppress(asyncpg.DivisionByZeroError):
                    await Partner.raw("SELECT 1 / 0")

        with pytest.raises(TenantRolledBackError):
            await add_and_go_on()
        self.ways["swallowed"] += 1

    async def _forget(self) -> None:
        """Whoever comes next on a connection has nothing of the tenant before."""
        left = await Partner.raw(f"SELECT {WHOSE_TENANT} AS tenant")
        assert left[0]["tenant"] in {None, ""}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await Partner.count()
        self.ways["forgotten"] += 1

    async def _look(self, organization: UUID) -> None:
        for table in (Partner, Opportunity):
            found = await table.select(table.organization.as_alias("whose"))
            self.leaks += [(organization, row) for row in found if row["whose"] != organization]
        assert len(await Partner.select(Partner.id)) >= 1


def _partner(organization: UUID) -> Partner:
    return Partner(
        organization=organization, name="p", domain="example.com", commission_structure="{}"
    )


async def _make_tenants(database: Database) -> list[UUID]:
    """Each has a partner, and as many opportunities as its number."""
    tenants = [new_id() for _ in range(TENANTS)]
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute("DELETE FROM organizations")
        await connection.execute(
            """
            INSERT INTO organizations (id, name, subdomain)
            SELECT id, 'o', id::text FROM unnest($1::uuid[]) AS id
            """,
            tenants,
        )
        await connection.execute(
            """
            WITH partner AS (
                INSERT INTO partners (organization_id, name, domain, commission_structure)
                SELECT id, 'p', 'example.com', '{}' FROM organizations
                RETURNING id, organization_id
            )
            INSERT INTO opportunities
                (organization_id, partner_id, customer_name, deal_value, stage, expected_close_date)
            SELECT organization_id, partner.id, 'c', 1, 'proposal', '2026-01-01'
            FROM partner CROSS JOIN generate_series(1, 5)
            """
        )
    finally:
        await connection.close()
    return tenants


async def _partners_when_nothing_is_open(database: Database) -> Counter[UUID]:
    """How many each tenant has. Raises LockNotAvailableError if a transaction was left open."""
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE partners, opportunities NOWAIT")
            rows = await connection.fetch(
                "SELECT organization_id, count(*) FROM partners GROUP BY 1"
            )
    finally:
        await connection.close()
    return Counter({row[0]: row[1] for row in rows})
