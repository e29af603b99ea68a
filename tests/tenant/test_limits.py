"""A full pool, the server's limits, an undeclared pooler, and columns that never change."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from partman.engine import PartmanEngine
from partman.errors import (
    DatabaseUnavailableError,
    PoolFullError,
    TenantColumnError,
    TenantTimeoutError,
    UndeclaredPoolingError,
)
from partman.tables import Organization, Partner
from partman.tenant import tenant
from tests.faults.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support import Database
from tests.tenants import DEADLINE, Tenants, in_use

FIRST, SECOND = "partner of the first", "partner of the second"


async def names() -> list[str]:
    return await Partner.select(Partner.name).output(as_list=True)


class TestPool:
    @pytest.mark.parametrize("of", ["tenant", "plain transaction", "query"])
    async def test_that_is_full_is_an_error_that_names_who_holds_it(
        self, tenants: Tenants, engine: PartmanEngine, of: str
    ) -> None:
        async def want() -> None:
            if of == "tenant":
                async with tenant(tenants.second):
                    pass
            elif of == "query":
                await Partner.raw("SELECT 1")
            else:
                async with engine.transaction():
                    pass

        entered, leave = asyncio.Barrier(2), asyncio.Event()
        holding = asyncio.create_task(self.hold(tenants, entered, leave))
        await entered.wait()
        line = self.hold.__code__.co_firstlineno + 1
        says = (
            rf"0\.05 s \(PARTMAN_POOL_WAIT\).* held by \S*tests/tenant/test_limits.py:{line} since"
        )
        with pytest.raises(PoolFullError, match=says) as refused:
            await want()
        assert refused.value.transient
        leave.set()
        await holding
        async with tenant(tenants.first):
            assert await names() == [FIRST]

    async def test_counts_the_blocks_of_one_line(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = tenants.engine(PARTMAN_POOL_WAIT="0.05")
        async with in_use(engine, monkeypatch, pool=False):
            await engine.start_connection_pool(min_size=3, max_size=3)
            entered, leave = asyncio.Barrier(4), asyncio.Event()
            holding = [asyncio.create_task(self.hold(tenants, entered, leave)) for _ in range(3)]
            await entered.wait()
            with pytest.raises(PoolFullError, match=r"3 connections are held.*and 2 more of it"):
                await names()
            leave.set()
            await asyncio.gather(*holding)
            await engine.close_connection_pool()

    async def hold(self, tenants: Tenants, entered: asyncio.Barrier, leave: asyncio.Event) -> None:
        async with tenant(tenants.first):
            await entered.wait()
            await leave.wait()

    async def test_forgets_connections_that_were_dropped(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lose() -> None:
            async with tenant(tenants.first) as block:
                pid = await block.connection.fetchval("SELECT pg_backend_pid()")
                await tenants.as_owner("SELECT pg_terminate_backend($1)", pid)
                await names()

        async with in_use(tenants.engine(), monkeypatch, pool=True):
            for _ in range(2):
                with pytest.raises(DatabaseUnavailableError, match="do it again"):
                    await lose()
            async with tenant(tenants.first):
                assert await names() == [FIRST]

    async def test_may_be_waited_for_without_a_limit(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hold() -> None:
            async with tenant(tenants.first):
                await names()

        async with in_use(tenants.engine(PARTMAN_POOL_WAIT="0"), monkeypatch, pool=True):
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*(hold() for _ in range(20)))


class TestTimeLimit:
    @pytest.mark.parametrize("pool", [True, False], ids=["pool", "no pool"])
    @pytest.mark.parametrize("noticed", ["by a query", "by the commit", "in the loop before"])
    async def test_of_an_idle_block_is_explained(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool, noticed: str
    ) -> None:
        async def block() -> None:
            async with tenant(tenants.first) as block:
                await Partner.raw("UPDATE partners SET name = 'changed'")
                pid = await block.connection.fetchval("SELECT pg_backend_pid()")
                while await tenants.as_owner(
                    "SELECT FROM pg_stat_activity WHERE pid = $1", pid
                ) or (time.monotonic() - began < 0.2):
                    pass
                if noticed == "in the loop before":
                    await asyncio.sleep(0.01)
                if noticed != "by the commit":
                    await names()

        limit = f"ALTER ROLE {tenants.role} SET idle_in_transaction_session_timeout"
        await tenants.as_owner(f"{limit} = '100ms'")
        try:
            async with in_use(tenants.engine(), monkeypatch, pool=pool):
                began = time.monotonic()
                with pytest.raises(TenantTimeoutError, match=r"is 0\.1 s.*Nothing of the block"):
                    await block()
        finally:
            await tenants.as_owner(f"{limit} = DEFAULT")
        assert await tenants.partners() == [FIRST, SECOND]


class TestColumns:
    async def test_the_tenant_of_an_object_that_exists_cannot_be_assigned(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            partner = await Partner.objects().get(Partner.name == FIRST)
            assert partner is not None
            for other in (
                tenants.second,
                str(tenants.second),
                None,
                Organization(id=tenants.second, name="x", subdomain="x"),
            ):
                with pytest.raises(TenantColumnError, match="Insert a new row in the other tenant"):
                    partner.organization = other
            assert partner.organization == tenants.first
            partner.organization = str(tenants.first)
            partner.name = "changed"
            await partner.save()
            await partner.refresh()
        assert await tenants.partners() == ["changed", SECOND]
        new = Partner(organization=tenants.first, name="x", domain="x", commission_structure={})
        new.organization = tenants.second
        assert new.organization == tenants.second

    @pytest.mark.parametrize("column", [Partner.id, Partner.organization])
    async def test_an_upsert_of_a_column_that_never_changes_is_explained(
        self, tenants: Tenants, engine: PartmanEngine, column: Any
    ) -> None:
        async def upsert(values: list[Any]) -> None:
            async with tenant(tenants.first):
                partner = await Partner.objects().get(Partner.name == FIRST)
                assert partner is not None
                partner.name = "changed"
                await Partner.insert(partner).on_conflict(
                    target=Partner.id, action="DO UPDATE", values=values
                )

        name = column._meta.db_column_name
        with pytest.raises(TenantColumnError, match=f"changes {name} of partners.*on_conflict"):
            await upsert([Partner.name, column])
        assert await tenants.partners() == [FIRST, SECOND]
        await upsert([Partner.name])
        assert await tenants.partners() == ["changed", SECOND]

    @pytest.mark.parametrize(
        ("sql", "says"),
        [
            ("UPDATE public.partners SET (name, organization_id) = ('x', NULL)", "organization_id"),
            ("WITH x AS (UPDATE partners SET id = id RETURNING 1) SELECT FROM x", "id of partners"),
            (
                "MERGE INTO partners p USING partners q ON p.id = q.id"
                " WHEN MATCHED THEN UPDATE SET organization_id = q.organization_id",
                "organization_id of partners",
            ),
            ("UPDATE organizations SET subdomain = 'x'", "only some columns of its own row"),
        ],
    )
    async def test_raw_sql_that_changes_one_is_explained(
        self, tenants: Tenants, engine: PartmanEngine, sql: str, says: str
    ) -> None:
        with pytest.raises(TenantColumnError, match=says):
            async with tenant(tenants.first):
                await Partner.raw(sql)

    async def test_another_missing_privilege_is_the_servers_own_error(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        with pytest.raises(Exception, match="permission denied for table partners") as refused:
            async with tenant(tenants.first):
                await Partner.raw("TRUNCATE partners")
        assert not isinstance(refused.value, TenantColumnError)


@needs_pgbouncer
@pytest.mark.parametrize("pool", [True, False], ids=["pool", "no pool"])
async def test_a_transaction_pooler_that_no_setting_mentions_is_refused(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: bool
) -> None:
    async def block(url: str, **settings: str) -> None:
        engine = tenants.engine(url, **settings)
        async with in_use(engine, monkeypatch, pool=pool), tenant(tenants.first):
            assert await names() == [FIRST]

    with pgbouncer(Database(tenants.url), tmp_path, "transaction") as url:
        with pytest.raises(UndeclaredPoolingError, match="Set PARTMAN_POOLING=transaction"):
            await block(url)
        await block(url, PARTMAN_POOLING="transaction")


@needs_pgbouncer
async def test_a_session_pooler_is_welcome(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pgbouncer(Database(tenants.url), tmp_path, "session") as url:
        async with in_use(tenants.engine(url), monkeypatch, pool=True), tenant(tenants.first):
            assert await names() == [FIRST]
