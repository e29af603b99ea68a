"""tenant() that is cancelled, or whose connection is lost: nothing is left behind."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from partman.errors import (
    DatabaseUnavailableError,
    NotIsolatedError,
    PartmanError,
    PermissionDeniedError,
)
from partman.isolation import Roles
from partman.tables import TENANCY, Partner, organization_for_subdomain
from partman.tenant import connection as tenant_connection
from partman.tenant import tenant
from tests.faults.cutting import CuttingProxy
from tests.faults.holding import HoldingProxy
from tests.support import Database
from tests.tenants import DEADLINE, Tenants, eventually, in_use, none_in_transaction, use

FIRST, SECOND = "partner of the first", "partner of the second"

ENTER, COMMIT, ROLLBACK = b"SET LOCAL ROLE", b"COMMIT\0", b"ROLLBACK\0"
"""As tenant() says it; the driver, in its own transactions, ends them with a semicolon."""

with_and_without_a_pool = pytest.mark.parametrize("pool", [True, False], ids=["pool", "no pool"])


async def change(tenants: Tenants) -> None:
    async with tenant(tenants.first):
        await Partner.raw("UPDATE partners SET name = 'changed'")


async def nothing_is_left(tenants: Tenants) -> bool:
    """Whether the application works on, and none of its sessions is in a transaction."""
    async with asyncio.timeout(DEADLINE), tenant(tenants.second):
        found = await Partner.raw("SELECT name FROM partners")
    return found == [{"name": SECOND}] and await none_in_transaction(tenants)


async def test_entering_takes_one_round_trip(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CuttingProxy(Database(tenants.url)) as proxy:
        async with in_use(tenants.engine(proxy.url), monkeypatch, pool=True):
            before = proxy.answers
            async with tenant(tenants.first):
                assert proxy.answers == before + 1
                async with tenant(tenants.first):
                    assert proxy.answers == before + 1


async def test_behind_a_proxy_leaving_takes_one_round_trip_as_there_is_no_session_to_reset(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CuttingProxy(Database(tenants.url)) as proxy:
        engine = tenants.engine(proxy.url, PARTMAN_POOLING="transaction")
        async with in_use(engine, monkeypatch, pool=True):
            before = proxy.answers
            async with tenant(tenants.first):
                pass
            assert proxy.answers == before + 2


class TestCancelled:
    @with_and_without_a_pool
    @pytest.mark.parametrize("by", ["cancel", "timeout"])
    async def test_in_a_statement(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool, by: str
    ) -> None:
        async def block() -> None:
            async with expires, tenant(tenants.first):
                await Partner.raw("UPDATE partners SET name = 'changed'")
                await Partner.raw("SELECT FROM quarterly_goals")

        async with in_use(tenants.engine(), monkeypatch, pool=pool):
            holder = await asyncpg.connect(tenants.database.url)
            await holder.execute("BEGIN; LOCK TABLE quarterly_goals")
            expires = asyncio.timeout(None)
            blocked = asyncio.create_task(block())
            await eventually(lambda: waits_for_a_lock(tenants))
            if by == "cancel":
                blocked.cancel()
            else:
                expires.reschedule(asyncio.get_running_loop().time())
            with pytest.raises(asyncio.CancelledError if by == "cancel" else TimeoutError):
                await blocked
            assert await none_in_transaction(tenants)
            await holder.close()
            assert await nothing_is_left(tenants)
        assert await tenants.partners() == [FIRST, SECOND]

    @with_and_without_a_pool
    @pytest.mark.parametrize("at", [ENTER, COMMIT, ROLLBACK])
    async def test_in(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool, at: bytes
    ) -> None:
        async def fail() -> None:
            async with tenant(tenants.first):
                raise ZeroDivisionError

        with HoldingProxy(Database(tenants.url), at) as proxy:
            async with in_use(tenants.engine(proxy.url), monkeypatch, pool=pool):
                blocked = asyncio.create_task(fail() if at == ROLLBACK else change(tenants))
                await proxy.has_held()
                blocked.cancel()
                if at == ROLLBACK:  # that goes on by itself; nobody has to wait for it
                    with pytest.raises(asyncio.CancelledError):
                        await blocked
                proxy.release()
                with pytest.raises(asyncio.CancelledError):
                    await blocked
                await eventually(lambda: nothing_is_left(tenants))
        assert await tenants.partners() in ([FIRST, SECOND], ["changed", SECOND])

    @with_and_without_a_pool
    async def test_while_a_query_of_another_task_is_waited_for(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool
    ) -> None:

        async def block() -> None:
            async with first:
                await Partner.raw("UPDATE partners SET name = 'changed'")
                others.append(asyncio.create_task(Partner.raw("SELECT FROM quarterly_goals").run()))
                await eventually(lambda: waits_for_a_lock(tenants))

        others: list[asyncio.Task[object]] = []
        async with in_use(tenants.engine(), monkeypatch, pool=pool):
            first = tenant(tenants.first)
            holder = await asyncpg.connect(tenants.database.url)
            await holder.execute("BEGIN; LOCK TABLE quarterly_goals")
            blocked = asyncio.create_task(block())
            await eventually(lambda: waits_for_a_lock(tenants))
            while not first.over:
                await tenants.partners()
            blocked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await blocked
            [error] = await asyncio.gather(*others, return_exceptions=True)
            assert isinstance(error, PartmanError)
            await holder.close()
            assert await nothing_is_left(tenants)
        assert await tenants.partners() == [FIRST, SECOND]

    @with_and_without_a_pool
    async def test_with_a_server_that_answers_no_more(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool
    ) -> None:
        async def fail() -> None:
            async with tenant(tenants.first):
                raise ZeroDivisionError

        monkeypatch.setattr(tenant_connection, "_CLEANING_PATIENCE", 0.01)
        with HoldingProxy(Database(tenants.url), ROLLBACK) as proxy:
            async with in_use(tenants.engine(proxy.url), monkeypatch, pool=pool):
                with pytest.raises(ZeroDivisionError):
                    await fail()
                assert await nothing_is_left(tenants)
            proxy.release()

    def test_with_its_event_loop(self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks = []

        async def stay(entered: asyncio.Event) -> None:
            async with tenant(tenants.first):
                await Partner.raw("UPDATE partners SET name = 'changed'")
                entered.set()
                await asyncio.Event().wait()

        async def program() -> None:
            entered = asyncio.Event()
            tasks.append(asyncio.create_task(stay(entered)))
            await entered.wait()

        use(tenants.engine(), monkeypatch)
        asyncio.run(program())
        assert tasks[0].cancelled()
        assert asyncio.run(none_in_transaction(tenants))


async def waits_for_a_lock(tenants: Tenants) -> bool:
    waits = "SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'"
    return bool(await tenants.as_owner(waits, tenants.role))


class TestEntering:
    @with_and_without_a_pool
    async def test_with_a_lost_connection(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool
    ) -> None:
        cut = (ENTER, 1)
        with CuttingProxy(Database(tenants.url), at_request=cut) as proxy:
            async with in_use(tenants.engine(proxy.url), monkeypatch, pool=pool):
                with pytest.raises(DatabaseUnavailableError, match="try again") as refused:
                    await change(tenants)
                assert refused.value.transient
                assert await nothing_is_left(tenants)

    async def test_as_a_role_that_may_not(
        self, tenants: Tenants, stranger: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with in_use(tenants.engine(stranger), monkeypatch, pool=False) as engine:
            # The driver's own connections: this role may not learn types either.
            await engine.start_connection_pool(min_size=1, max_size=1, connect=asyncpg.connect)
            with pytest.raises(PermissionDeniedError) as refused:
                await change(tenants)
            async with asyncio.timeout(DEADLINE):
                [row] = await Partner.raw("SELECT current_user AS role")
            with pytest.raises(PermissionDeniedError, match="GRANT USAGE ON SCHEMA public"):
                await organization_for_subdomain("first")
            await engine.close_connection_pool()
        grant = str(refused.value).rpartition(": ")[2]
        assert grant.startswith(f"GRANT partman_app TO {row['role']}")
        await tenants.as_owner(grant)
        async with in_use(tenants.engine(stranger), monkeypatch, pool=False) as engine:
            await engine.start_connection_pool(min_size=1, max_size=1, connect=asyncpg.connect)
            async with tenant(tenants.first) as transaction:
                assert await transaction.connection.fetchval("SELECT current_user") == "partman_app"
            await engine.close_connection_pool()

    @with_and_without_a_pool
    async def test_a_database_that_was_not_migrated(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool
    ) -> None:
        async with in_use(tenants.engine(), monkeypatch, pool=pool) as engine:
            with monkeypatch.context() as patch:
                unmade = replace(TENANCY, roles=Roles(app="partman_test_nobody"))
                patch.setattr(engine, "tenancy", unmade)
                with pytest.raises(NotIsolatedError, match="piccolo migrations forwards all"):
                    await change(tenants)
            await tenants.as_owner("DROP FUNCTION organization_for_subdomain(text)")
            with pytest.raises(NotIsolatedError, match="piccolo migrations forwards all"):
                await organization_for_subdomain("first")
            assert await nothing_is_left(tenants)


class TestLeaving:
    @with_and_without_a_pool
    @pytest.mark.parametrize("arrives", [True, False])
    async def test_with_a_connection_lost_in_commit(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool, arrives: bool
    ) -> None:
        cut = (COMMIT, 1)
        with CuttingProxy(Database(tenants.url), at_request=cut, arrives=arrives) as proxy:
            async with in_use(tenants.engine(proxy.url), monkeypatch, pool=pool):
                with pytest.raises(DatabaseUnavailableError, match="look before you do it again"):
                    await change(tenants)
                assert await nothing_is_left(tenants)
        assert await tenants.partners() == (["changed", SECOND] if arrives else [FIRST, SECOND])

    @with_and_without_a_pool
    async def test_with_a_connection_lost_before(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch, pool: bool
    ) -> None:
        async def block() -> None:
            async with tenant(tenants.first) as transaction:
                await Partner.raw("UPDATE partners SET name = 'changed'")
                pid = await transaction.connection.fetchval("SELECT pg_backend_pid()")
                await tenants.as_owner("SELECT pg_terminate_backend($1)", pid)
                with pytest.raises(DatabaseUnavailableError, match="Nothing of the block"):
                    await transaction.connection.fetch("SELECT")

        async with in_use(tenants.engine(), monkeypatch, pool=pool):
            with pytest.raises(DatabaseUnavailableError, match="Nothing of the block was saved"):
                await block()
            assert await nothing_is_left(tenants)
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_with_a_connection_lost_after_commit_is_none_the_worse(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = (b"UNLISTEN", 1)  # in the driver's reset, as the connection goes back to the pool
        with CuttingProxy(Database(tenants.url), at_request=cut) as proxy:
            async with in_use(tenants.engine(proxy.url), monkeypatch, pool=True):
                await change(tenants)
                assert proxy.has_cut.is_set()
                assert await nothing_is_left(tenants)
        assert await tenants.partners() == ["changed", SECOND]
