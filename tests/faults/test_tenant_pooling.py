"""Tenants through a real pgbouncer in transaction mode, where connections are not sessions."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from partman.engine import PartmanEngine
from partman.tables import Partner, organization_for_subdomain
from partman.tenant import tenant
from tests.faults.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support import Database
from tests.tenants import Tenants, in_use, none_in_transaction

FIRST, SECOND = "partner of the first", "partner of the second"
PARTNERS = "SELECT name FROM partners WHERE organization_id = any($1)"

pytestmark = needs_pgbouncer


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "no pool"])
async def test_tenants_share_two_sessions_and_nothing_else(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: bool
) -> None:
    async def look(organization: UUID, engine: PartmanEngine) -> list[list[str]]:
        async with tenant(organization, engine=engine) as transaction:
            rows = await transaction.connection.fetch(PARTNERS, [tenants.first, tenants.second])
            batch = await engine.batch(Partner.select(Partner.name))
            async with batch as portions:
                in_portions = [[row["name"] for row in rows] async for rows in portions]
        return [[row["name"] for row in rows], *in_portions]

    database = Database(tenants.url)
    with pgbouncer(database, tmp_path, "transaction", "default_pool_size = 2") as url:
        async with AsyncExitStack() as stack:
            clients = [tenants.engine(url, PARTMAN_POOLING="transaction") for _ in range(2)]
            for client in clients:
                await stack.enter_async_context(in_use(client, monkeypatch, pool=pool))
            looking = [
                look(organization, client)
                for _ in range(20)
                for organization in (tenants.first, tenants.second)
                for client in clients
            ]
            found = await asyncio.gather(*looking)
            assert found == [[[FIRST]] * 2, [[FIRST]] * 2, [[SECOND]] * 2, [[SECOND]] * 2] * 20
            subdomains = [organization_for_subdomain("second", engine=each) for each in clients]
            assert await asyncio.gather(*subdomains) == [tenants.second] * 2
            assert await none_in_transaction(tenants)
            sessions = await tenants.sessions()
    assert 1 <= len(sessions) <= 2
