"""The fixtures of partman.testing, on this project's tables: the same in both modes."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from partman.apps import table_classes
from partman.engine import PartmanEngine
from partman.errors import TenantRolledBackError
from partman.tables import Opportunity, Organization, Partner
from partman.tenant import tenant
from partman.testing import AsTenant, Factory, MigratedDatabase, OwnerTransaction, rollback

EnterTenant = Callable[..., AsTenant]
EnterOwner = Callable[[], AbstractAsyncContextManager[OwnerTransaction]]
in_rollback = pytest.mark.partman_database("rollback")


@pytest.fixture(
    params=[
        pytest.param(mode, marks=pytest.mark.partman_database(mode))
        for mode in ("clone", "rollback")
    ]
)
def engine(partman_database: MigratedDatabase) -> PartmanEngine:
    return partman_database.engine


async def test_every_table_class_gets_a_row(
    engine: PartmanEngine, make: Factory, as_owner: EnterOwner
) -> None:
    for table in table_classes():
        row, key = await make(table), table._meta.primary_key
        async with as_owner():
            assert await table.exists().where(key == getattr(row, key._meta.name))


async def test_rows_are_seen_by_their_tenant_only(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    async with as_tenant() as acme:
        await make(Opportunity)
        assert await Opportunity.count() == await Partner.count() == 1
    async with as_tenant():
        assert await Opportunity.count() == 0
    async with as_tenant(acme), as_tenant(acme.id):
        assert await Opportunity.count() == 1


@pytest.mark.parametrize("time", [1, 2])
async def test_each_test_begins_without_rows_of_others(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory, as_owner: EnterOwner, time: int
) -> None:
    async with as_tenant():
        await make(Partner)
    async with as_owner():
        assert await Partner.count() == 1


async def test_the_owner_is_asked_from_inside_of_a_block(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory, as_owner: EnterOwner
) -> None:
    other = await make(Partner)
    async with as_tenant() as acme:
        async with as_owner():
            assert await Partner.exists().where(Partner.id == other.id)
        await make(Organization)  # as the owner
        assert await Partner.count() == 0
        assert await Organization.select(Organization.id) == [{"id": acme.id}]


async def test_a_tenants_block_has_the_applications_privileges(
    engine: PartmanEngine, as_tenant: EnterTenant
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with as_tenant():
            await Organization.insert(Organization(name="not", subdomain="allowed"))


@pytest.mark.partman_database("clone")
async def test_a_forgotten_tenant_is_an_error(partman_database: MigratedDatabase) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await Partner.count()


async def test_nothing_of_a_block_is_left_for_what_comes_after_it(
    engine: PartmanEngine, as_tenant: EnterTenant
) -> None:
    session = "SELECT current_user::text, current_setting('partman.organization_id', true) AS of"
    [before] = await Partner.raw(session)
    async with as_tenant() as acme:
        assert (await Partner.raw(session))[0]["of"] == str(acme.id)
    [after] = await Partner.raw(session)
    assert after["current_user"] == before["current_user"]
    assert after["of"] in {None, ""}


async def test_a_failing_block_stores_nothing(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    acme = await make(Organization)

    async def fail() -> None:
        async with as_tenant(acme):
            await make(Partner)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with as_tenant(acme):
        assert await Partner.count() == 0


async def test_a_swallowed_error_is_told_at_the_end_of_the_block(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    acme = await make(Organization)

    async def go_on_after_an_error() -> None:
        async with as_tenant(acme):
            await make(Partner)
            with pytest.raises(asyncpg.DivisionByZeroError):
                await Partner.raw("SELECT 1 / 0")
            with pytest.raises(asyncpg.InFailedSQLTransactionError):
                await Partner.count()

    with pytest.raises(TenantRolledBackError):
        await go_on_after_an_error()
    async with as_tenant(acme):
        assert await Partner.count() == 0


async def test_a_cancelled_block_leaves_the_connection_usable(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    acme, entered = await make(Organization), asyncio.Event()

    async def wait_for_the_server() -> None:
        async with as_tenant(acme):
            await make(Partner)
            entered.set()
            await Partner.raw("SELECT pg_sleep(60)")

    task = asyncio.create_task(wait_for_the_server())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with as_tenant(acme):
        assert await Partner.count() == 0


async def test_outside_of_blocks_each_statement_is_a_transaction(
    engine: PartmanEngine, make: Factory, as_owner: EnterOwner
) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await Partner.raw("SELECT 1 / 0")
    assert await Partner.raw("SELECT 1 AS one") == [{"one": 1}]

    async def fail_in_a_transaction() -> None:
        async with engine.transaction():
            with pytest.raises(asyncpg.DivisionByZeroError):
                await Partner.raw("SELECT 1 / 0")
            await Partner.raw("SELECT 1")

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await fail_in_a_transaction()
    async with engine.transaction(), engine.transaction():
        assert await Partner.raw("SELECT 1 AS one") == [{"one": 1}]


async def test_savepoints_and_batches_work_in_a_block(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    async with as_tenant() as acme:
        await make(Partner)
        async with tenant(acme.id, engine=engine) as transaction:
            savepoint = await transaction.savepoint()
            await make(Partner)
            await savepoint.rollback_to()  # type: ignore[no-untyped-call]
        async with await Partner.select(Partner.id).batch(batch_size=1) as batch:
            assert [len(rows) async for rows in batch] == [1]


async def test_an_application_in_another_event_loop_sees_the_rows(
    engine: PartmanEngine, as_tenant: EnterTenant, make: Factory
) -> None:
    """As a TestClient has one."""
    async with as_tenant() as acme:
        await make(Partner)

    async def application() -> int:
        await engine.start_connection_pool(min_size=1, max_size=2)
        async with tenant(acme.id, engine=engine):
            await make(Partner)
            found: int = await Partner.count()
        await engine.close_connection_pool()
        return found

    assert await asyncio.to_thread(asyncio.run, application()) == 2


@pytest.mark.partman_database("rollback")
async def test_two_blocks_at_once_in_a_rollback_are_refused(
    as_tenant: EnterTenant, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, other = await make(Organization), await make(Organization)
    monkeypatch.setattr(rollback, "_PATIENCE", 0.01)

    async def enter_another() -> None:
        async with as_tenant(other):
            raise AssertionError

    task = asyncio.create_task(enter_another())
    async with as_tenant(acme):
        with pytest.raises(rollback.ConnectionInUseError, match="Leave that block first"):
            await task
