"""for_each_tenant(): a job for many tenants, and what became of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from partman.engine import PartmanEngine
from partman.errors import PermissionDeniedError, TenantNestingError, TenantsFailedError
from partman.isolation import Roles
from partman.tables import TENANCY, Partner, organizations
from partman.tenant import TenantId, all_tenants, current_tenant, for_each_tenant, tenant
from tests.tenants import Tenants, in_use

WITHOUT_OPERATOR = replace(TENANCY.roles, operator=None)

FIRST, SECOND = "partner of the first", "partner of the second"


async def rename(tenant_id: TenantId) -> None:
    assert current_tenant() == tenant_id
    await Partner.raw("UPDATE partners SET name = 'changed'")


async def test_it_goes_on_when_the_job_fails_for_a_tenant_and_says_for_whom(
    tenants: Tenants, engine: PartmanEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(tenant_id: TenantId) -> None:
        await rename(tenant_id)
        if tenant_id == tenants.first:
            raise ZeroDivisionError("by\nzero")

    report = await for_each_tenant(job, [tenants.first, tenants.second])
    assert report.done == (tenants.second,)
    assert [(each.tenant_id, type(each.error)) for each in report.failed] == [
        (tenants.first, ZeroDivisionError)
    ]
    assert await tenants.partners() == ["changed", FIRST]
    says = f"failed for 1 of 2 tenants.* {tenants.first}: ZeroDivisionError: by zero"
    with pytest.raises(TenantsFailedError, match=says):
        report.raise_failures()
    assert f"{tenants.first}: ZeroDivisionError: by zero" in caplog.text


async def test_a_long_list_of_failures_is_cut(tenants: Tenants, engine: PartmanEngine) -> None:
    async def job(_: TenantId) -> None:
        raise ZeroDivisionError

    report = await for_each_tenant(job, [uuid4() for _ in range(12)])
    with pytest.raises(TenantsFailedError, match=r"12 of 12 tenants.*; and 2 more$"):
        report.raise_failures()
    (await for_each_tenant(job, [])).raise_failures()


@pytest.mark.parametrize(("size", "concurrency", "expected"), [(3, 2, 2), (2, 5, 2), (0, 3, 3)])
async def test_no_more_blocks_are_open_than_allowed_and_than_the_pool_has_connections(
    tenants: Tenants,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    concurrency: int,
    expected: int,
) -> None:
    async def listed() -> AsyncIterator[UUID]:
        for _ in range(8):
            yield tenants.first

    most = running = 0
    full = asyncio.Event()

    async def job(_: TenantId) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        if most < expected:
            await full.wait()
        full.set()
        running -= 1

    async with in_use(tenants.engine(), monkeypatch, pool=False) as engine:
        if size:
            await engine.start_connection_pool(min_size=size, max_size=size)
        report = await for_each_tenant(job, listed(), concurrency=concurrency)
        if size:
            await engine.close_connection_pool()
    assert (len(report.done), most) == (8, expected)


class TestOrganizations:
    async def test_are_the_active_ones_with_no_transaction_open_in_between(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("partman.tenant.listing._PORTION", 1)
        await tenants.as_owner("UPDATE organizations SET is_active = NULL WHERE name = 'second'")
        [[others]] = await tenants.as_owner(
            "SELECT count(*) FROM organizations WHERE is_active AND name <> 'first'"
        )
        async with in_use(tenants.engine(), monkeypatch, pool=True):
            found = []
            async for organization in organizations():
                async with tenant(organization):
                    [row] = await Partner.raw("SELECT session_user AS login")
                found.append(organization)
                open_elsewhere = await tenants.as_owner(
                    "SELECT FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'partman: tenants' AND xact_start IS NOT NULL"
                )
                assert (row["login"], open_elsewhere) == (tenants.role, [])
            assert len(found) == len(set(found)) == others + 1
            assert (tenants.first in found, tenants.second in found) == (True, False)
            listed = [organization async for organization in all_tenants()]
            assert tenants.second in listed
            async with tenant(tenants.first):
                with pytest.raises(TenantNestingError, match="list of all tenants"):
                    await anext(organizations())

    @pytest.mark.parametrize(
        ("roles", "login", "way"),
        [
            (TENANCY.roles, "stranger", "GRANT partman_operator TO"),
            (WITHOUT_OPERATOR, "application", "PARTMAN_APP_DATABASE_URL"),
        ],
    )
    async def test_are_not_listed_by_who_may_not(
        self, tenants: Tenants, stranger: str, roles: Roles, login: str, way: str
    ) -> None:
        url = stranger if login == "stranger" else tenants.url
        engine = tenants.engine(url)
        engine = PartmanEngine(settings=engine.settings, tenancy=replace(TENANCY, roles=roles))
        with pytest.raises(PermissionDeniedError, match=way):
            await anext(organizations(engine=engine))

    async def test_are_listed_by_the_migrations_login_where_nobody_is_the_operator(
        self, tenants: Tenants
    ) -> None:
        settings = tenants.engine(
            tenants.database.url, PARTMAN_APP_DATABASE_URL=tenants.url
        ).settings
        engine = PartmanEngine(settings=settings, tenancy=replace(TENANCY, roles=WITHOUT_OPERATOR))
        found = [organization async for organization in organizations(engine=engine)]
        assert {tenants.first, tenants.second} <= set(found)

    async def test_are_never_hidden_by_a_policy(self, tenants: Tenants) -> None:
        await tenants.as_owner(f"GRANT SELECT ON organizations TO {tenants.role}")
        try:
            engine = PartmanEngine(
                settings=tenants.engine().settings,
                tenancy=replace(TENANCY, roles=WITHOUT_OPERATOR),
            )
            with pytest.raises(PermissionDeniedError, match="row-level security"):
                await anext(organizations(engine=engine))
        finally:
            await tenants.as_owner(f"REVOKE SELECT ON organizations FROM {tenants.role}")


async def test_what_the_list_raises_ends_it(tenants: Tenants, engine: PartmanEngine) -> None:
    async def listed() -> AsyncIterator[UUID]:
        yield tenants.first
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await for_each_tenant(rename, listed())


async def test_in_a_block_it_is_refused(tenants: Tenants, engine: PartmanEngine) -> None:
    async with tenant(tenants.first):
        with pytest.raises(TenantNestingError, match=r"for_each_tenant\(\)"):
            await for_each_tenant(rename, [tenants.first])


async def test_a_cancelled_one_leaves_nothing_behind(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    entered = asyncio.Event()

    async def stay(tenant_id: TenantId) -> None:
        await rename(tenant_id)
        entered.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(for_each_tenant(stay, [tenants.first, tenants.second]))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await tenants.partners() == [FIRST, SECOND]
