"""Tenants through a real pgbouncer in transaction mode, where connections are not sessions."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from partman.bulk import bulk_insert
from partman.engine import PartmanEngine
from partman.errors import RowRefusedError
from partman.operator import count_rows, delete_tenant, export_tenant, import_tenant, reports
from partman.organizations import ORGANIZATIONS, create_organization
from partman.tables import Partner, organization_for_subdomain, organizations
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


async def test_bulk_insert_and_the_operator_work_in_transactions_of_their_own(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Several at once over two sessions: nothing of one is left for the next."""
    rows = [
        {"name": f"partner {n}", "domain": "example.com", "commission_structure": {}}
        for n in range(2000)
    ]

    async def insert(organization: UUID) -> int:
        async with tenant(organization):
            count = await bulk_insert(Partner, rows)
            with pytest.raises(RowRefusedError):
                await bulk_insert(Partner, [rows[0], rows[0] | {"name": None}])
            assert await Partner.count() == count + 1
            return count

    async def sign_up(subdomain: str) -> UUID:
        return await create_organization(
            subdomain=subdomain,
            name=subdomain,
            email="ann@acme.example",
            password="correct horse battery staple",
            first_name="Ann",
            last_name="Lee",
        )

    async def read_reports() -> int:
        async with reports() as connection:
            return len(await connection.fetch("SELECT * FROM report_organizations"))

    with pgbouncer(Database(tenants.url), tmp_path, "transaction", "default_pool_size = 2") as url:
        engine = tenants.engine(url, PARTMAN_POOLING="transaction")
        async with in_use(engine, monkeypatch, pool=True):
            new, *counts, seen = await asyncio.gather(
                sign_up("acme"), insert(tenants.first), insert(tenants.second), read_reports()
            )
            assert (counts, seen >= 2) == ([2000, 2000], True)
            listed = {organization async for organization in organizations()}
            assert {new, tenants.first, tenants.second} <= listed
            async with tenant(new):
                assert await Partner.count() == 0

            exported = await export_tenant(ORGANIZATIONS, tenants.second, tmp_path / "second")
            counted = await count_rows(ORGANIZATIONS, tenants.second)
            deleted = await delete_tenant(ORGANIZATIONS, tenants.second, seen=counted)
            imported = await import_tenant(ORGANIZATIONS, tmp_path / "second")
            assert (deleted, imported) == (counted, exported)
            assert await count_rows(ORGANIZATIONS, tenants.second) == counted
        assert await none_in_transaction(tenants)
