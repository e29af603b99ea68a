"""The connection of a tenant() block: alone, shared by tasks, outlived, and given back."""

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from partman.database.array_types import ARRAY_TYPES
from partman.database.connection import connected
from partman.engine import PartmanEngine
from partman.errors import (
    DatabaseUnavailableError,
    PermissionDeniedError,
    TenantLeavingError,
    TenantOverError,
    UnsupportedServerError,
)
from partman.settings import Settings
from partman.tables import Partner
from partman.tenant import tenant
from tests.support import as_role, execute, query, with_database
from tests.tenants import Tenants, in_use

pytestmark = pytest.mark.same_on_every_version

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

FIRST, SECOND = "partner of the first", "partner of the second"
VALUES = {
    **dict.fromkeys(("text", "varchar", "name"), """'a "b", c'"""),
    **dict.fromkeys(("json", "jsonb"), """'{"a": [1, "b,c"]}'"""),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "'2026-02-03 04:05:06'"),
    "uuid": "'6f1c1d0e-0d7b-4c65-9c2b-8f3c1f2a9b77'",
}
"""An element of the array types, in SQL; of the others, 1."""
SETTINGS = "SELECT current_user AS role, current_setting('partman.organization_id', true) AS tenant"


async def names() -> list[str]:
    return await Partner.select(Partner.name).order_by(Partner.name).output(as_list=True)


class TestTasks:
    async def test_in_the_block_take_turns(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first):
            found = await asyncio.gather(*(names() for _ in range(10)))
        assert found == [[FIRST]] * 10

    async def test_that_outlive_it_cannot_query(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        ended = asyncio.Event()

        async def outlive() -> None:
            await ended.wait()
            await names()

        async def outlive_in_a_batch() -> None:
            async with await Partner.select().batch() as portions:
                await ended.wait()
                await anext(portions)

        async with tenant(tenants.first):
            tasks = [asyncio.create_task(outlive()), asyncio.create_task(outlive_in_a_batch())]
            await names()
        async with tenant(tenants.second):
            ended.set()
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            assert await names() == [SECOND]

        assert [type(error) for error in errors] == [TenantOverError, TenantOverError]
        assert "give the task a tenant() of its own" in str(errors[0])

    async def test_that_outlive_it_can_have_a_block_of_their_own(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        ended = asyncio.Event()

        async def outlive(organization: UUID) -> list[str]:
            await ended.wait()
            async with tenant(organization):
                return await names()

        async with tenant(tenants.first):
            tasks = [
                asyncio.create_task(outlive(organization))
                for organization in (tenants.first, tenants.second)
            ]
        ended.set()
        assert await asyncio.gather(*tasks) == [[FIRST], [SECOND]]

    async def test_are_waited_for_when_the_block_ends_well(
        self,
        tenants: Tenants,
        engine: PartmanEngine,
        connection: "Connection",
    ) -> None:
        holder = connection.transaction()
        await holder.start()
        await connection.execute("LOCK TABLE quarterly_goals")
        async with tenant(tenants.first):
            writing = asyncio.create_task(_change_when_goals_are_free())
            later = asyncio.create_task(names())
            await _waiting_for_a_lock(tenants)
            unlocking = asyncio.create_task(holder.commit())
        await unlocking
        await writing
        assert await tenants.partners() == ["changed", SECOND]
        with pytest.raises(TenantOverError):
            await later

    async def test_are_interrupted_when_the_block_fails(
        self,
        tenants: Tenants,
        engine: PartmanEngine,
        connection: "Connection",
    ) -> None:
        tasks = []

        async def block() -> None:
            async with tenant(tenants.first):
                tasks.append(asyncio.create_task(_lock_goals()))
                await _waiting_for_a_lock(tenants)
                raise ZeroDivisionError

        async with connection.transaction():
            await connection.execute("LOCK TABLE quarterly_goals")
            with pytest.raises(ZeroDivisionError):
                await block()
            with pytest.raises(TenantOverError):
                await tasks[0]
        assert tasks[0].cancelling() == 0
        async with tenant(tenants.second):
            assert await names() == [SECOND]

    async def test_that_are_cancelled_themselves_stay_cancelled(
        self,
        tenants: Tenants,
        engine: PartmanEngine,
        connection: "Connection",
    ) -> None:
        tasks = []

        async def block() -> None:
            async with tenant(tenants.first):
                tasks.append(asyncio.create_task(_lock_goals()))
                await _waiting_for_a_lock(tenants)
                tasks[0].cancel()
                raise ZeroDivisionError

        async with connection.transaction():
            await connection.execute("LOCK TABLE quarterly_goals")
            with pytest.raises(ZeroDivisionError):
                await block()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]

    async def test_may_end_a_block_that_another_has_begun(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        block = tenant(tenants.first)
        await asyncio.create_task(block.__aenter__(), context=copy_context())
        assert await block.connection.fetchval("SELECT name FROM partners") == FIRST
        await block.__aexit__(None, None, None)
        assert block.over


async def _lock_goals() -> None:
    await Partner.raw("SELECT FROM quarterly_goals")


async def _change_when_goals_are_free() -> None:
    await Partner.raw(
        "UPDATE partners SET name = 'changed' WHERE (SELECT count(*) FROM quarterly_goals) = 0"
    )


async def _waiting_for_a_lock(tenants: Tenants) -> None:
    waits = "SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'"
    async with asyncio.timeout(60):
        while not await tenants.as_owner(waits, tenants.role):
            pass


class TestStatements:
    @pytest.mark.parametrize(
        "sql", ["COMMIT", "COMMIT AND CHAIN", "RESET ROLE", "/**/ROLLBACK", "SET ROLE none"]
    )
    async def test_that_would_leave_the_tenant_are_refused(
        self, tenants: Tenants, engine: PartmanEngine, sql: str
    ) -> None:
        async with tenant(tenants.first) as transaction:
            connection = transaction.connection
            with pytest.raises(TenantLeavingError):
                await Partner.raw(sql)
            for method in (connection.fetchrow, connection.fetchval, connection.execute):
                with pytest.raises(TenantLeavingError):
                    await method(sql)
            with pytest.raises(TenantLeavingError):
                await connection.executemany(sql, [()])
            [row] = await Partner.raw(SETTINGS)
            assert row == {"role": "partman_app", "tenant": str(tenants.first)}

    async def test_are_never_several(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def inject() -> None:
            async with tenant(tenants.first) as transaction:
                await transaction.connection.execute(
                    f"SELECT 1; SET LOCAL partman.organization_id = '{tenants.second}'"
                )

        with pytest.raises(asyncpg.PostgresSyntaxError, match="multiple commands"):
            await inject()

    async def test_may_be_sent_to_the_connection_itself(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first) as transaction:
            connection = transaction.connection
            rename = "UPDATE partners SET name = $1"
            assert await connection.execute(rename, "changed") == "UPDATE 1"
            row = await connection.fetchrow("SELECT name FROM partners")
            assert row is not None
            assert row["name"] == "changed"
            await connection.executemany(
                "UPDATE partners SET name = name || $1", [(n,) for n in "abc"]
            )
            assert await connection.fetchval("SELECT name FROM partners") == "changedabc"


@pytest.fixture
def only_logins_set_config(tenants: Tenants) -> None:
    """See to it that a tenant may not call set_config, as in a database of the embedded server."""
    function = "FUNCTION pg_catalog.set_config(text, text, boolean)"
    may = (
        "SELECT has_function_privilege('partman_app', 'set_config(text, text, boolean)', 'EXECUTE')"
    )
    if query(tenants.database.url, may)[0][0]:
        superuser = as_role(tenants.database.url, "postgres")
        grant = f"GRANT EXECUTE ON {function} TO partman, partman_api"
        try:
            execute(superuser, f"REVOKE EXECUTE ON {function} FROM PUBLIC", grant)
        except (OSError, asyncpg.PostgresError) as error:
            pytest.skip(f"everybody may call set_config, and it takes a superuser: {error}")


@pytest.mark.usefixtures("only_logins_set_config")
class TestTypes:
    async def test_arrays_are_known(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first):
            found = await Partner.raw(
                "SELECT name FROM partners WHERE organization_id = any({}) AND name = any({})",
                [tenants.first, tenants.second],
                [FIRST, SECOND],
            )
            for name in ARRAY_TYPES:
                nothing = await Partner.raw(f"SELECT '{{{{}}}}'::{name}[] AS n")
                assert nothing == [{"n": []}], name
        assert found == [{"name": FIRST}]

    async def test_that_are_not_known_are_explained(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def block() -> None:
            async with tenant(tenants.first):
                await Partner.raw("SELECT partners FROM partners")

        with pytest.raises(PermissionDeniedError, match="Cast it in the statement"):
            await block()

    async def test_are_known_to_a_role_that_may_not_look_them_up(
        self, tenants: Tenants, stranger: str
    ) -> None:
        async with connected(tenants.engine(stranger).settings) as connection:
            for name in ARRAY_TYPES:
                echoed = await connection.fetchval(f"SELECT $1::{name}[]", [None])
                assert echoed == [None], name
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="set_config"):
                await connection.prepare("SELECT null::information_schema.sql_identifier[]")

    async def test_are_what_the_driver_would_find(
        self, tenants: Tenants, connection: "Connection"
    ) -> None:
        settings = Settings.load({"DATABASE_URL": tenants.database.url})
        async with connected(settings) as told:
            for name in ARRAY_TYPES:
                value = f"{VALUES.get(name, 1)}::{name}"
                array = f"SELECT ARRAY[ARRAY[{value}, NULL], ARRAY[NULL, {value}]]"
                found = await connection.fetchval(array)
                assert await told.fetchval(array) == found, name
                assert found[0][0] is not None
                sent = f"SELECT $1::{name}[]"
                assert await told.fetchval(sent, found) == await connection.fetchval(sent, found)

    async def test_may_be_made_known_by_the_pool(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def init(connection: "Connection") -> None:
            await connection.prepare("SELECT null::information_schema.sql_identifier[]")

        async with in_use(tenants.engine(), monkeypatch, pool=False) as engine:
            await engine.start_connection_pool(min_size=1, max_size=1, init=init)
            async with tenant(tenants.first):
                rare = "SELECT '{{}}'::information_schema.sql_identifier[] AS n"
                assert await Partner.raw(rare) == [{"n": []}]
            await engine.close_connection_pool()


class TestPool:
    async def test_gets_back_neither_role_nor_setting(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail() -> None:
            async with tenant(tenants.first):
                raise ZeroDivisionError

        async def keep(_: object) -> None:
            """In place of the driver's reset, so that it is not that which takes them away."""

        async with in_use(tenants.engine(), monkeypatch, pool=False) as engine:
            await engine.start_connection_pool(min_size=1, max_size=1, reset=keep)
            first = await Partner.raw("SELECT pg_backend_pid() AS pid")
            async with tenant(tenants.first):
                assert await Partner.raw("SELECT pg_backend_pid() AS pid") == first
                assert (await Partner.raw(SETTINGS))[0]["tenant"] == str(tenants.first)
            assert await Partner.raw(SETTINGS) == [{"role": tenants.role, "tenant": ""}]
            with pytest.raises(ZeroDivisionError):
                await fail()
            assert await Partner.raw(SETTINGS) == [{"role": tenants.role, "tenant": ""}]
            assert await Partner.raw("SELECT pg_backend_pid() AS pid") == first
            await engine.close_connection_pool()

    async def test_serves_one_tenant_after_the_other(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def look(organization: UUID) -> list[str]:
            async with tenant(organization):
                return await names()

        async with in_use(tenants.engine(), monkeypatch, pool=True):
            organizations = [tenants.first, tenants.second] * 20
            found = await asyncio.gather(*map(look, organizations))
        assert found == [[FIRST], [SECOND]] * 20

    async def test_is_named_as_every_session_is(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with in_use(tenants.engine(), monkeypatch, pool=True):
            assert await Partner.raw("SHOW application_name") == [{"application_name": "partman"}]

    @pytest.mark.parametrize("pool", [True, False])
    @pytest.mark.parametrize(
        ("address", "says"),
        [
            ("postgresql://nobody@127.0.0.1:1/x", "cannot be reached"),
            ("of another database", "Create it with createdb"),
            ("of another role", "does not exist"),
        ],
    )
    async def test_explains_why_it_cannot_connect(
        self,
        tenants: Tenants,
        monkeypatch: pytest.MonkeyPatch,
        pool: bool,
        address: str,
        says: str,
    ) -> None:
        url = {
            "of another database": with_database(tenants.url, "partman_test_nowhere"),
            "of another role": as_role(tenants.url, "partman_test_nobody"),
        }.get(address, address)

        async def block() -> None:
            async with in_use(tenants.engine(url), monkeypatch, pool=pool), tenant(uuid4()):
                pass

        with pytest.raises(DatabaseUnavailableError, match=says):
            await block()

    async def test_refuses_an_old_server(
        self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("partman.database.connection.OLDEST_SERVER", 99)
        with pytest.raises(UnsupportedServerError, match="needs 99 or newer"):
            await tenants.engine().start_connection_pool(min_size=1)
