"""Random tenants do random things at once, over a pool of one: each sees what it may see."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from partman.engine import PartmanEngine
from partman.errors import TenantRolledBackError
from partman.settings import Settings
from partman.tables import TABLES, TENANCY, Organization, organization_for_subdomain
from partman.tenant import tenant
from partman.tenant.connection import TenantConnection
from tests.isolation.conftest import WHOSE_TENANT, Populated
from tests.isolation.model import MARKS, Tenant, everything
from tests.isolation.verbs import VERBS, Aim, Block, Verb
from tests.summary import Record, count, thorough
from tests.support import Database, as_role
from tests.tenants import DEADLINE, use

PROFILE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=500 if thorough() else 25,
    stateful_step_count=20 if thorough() else 8,
    # To shrink takes minutes, as each try is a round of transactions.
    phases=(Phase.generate, Phase.shrink) if thorough() else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class Ending(StrEnum):
    """How a block is left."""

    COMMIT = "it is done"
    FAILURE = "an exception leaves it"
    CANCELLED = "its task is cancelled"
    CANCELLED_IN_A_STATEMENT = "its task is cancelled as it waits for the server"
    SWALLOWED = "it catches an error of the server and goes on"


@dataclass(frozen=True)
class Plan:
    """What one task will do."""

    tenant: int
    steps: list[tuple[Verb, Aim]]
    ending: Ending


AIMS = st.builds(Aim, st.sampled_from(TABLES), st.integers(0, 2), st.integers(0, 9))
PLANS = st.builds(
    Plan,
    st.integers(0, 2),
    st.lists(st.tuples(st.sampled_from(VERBS), AIMS), min_size=2, max_size=8),
    st.sampled_from([Ending.COMMIT, Ending.COMMIT, *Ending]),
)


class _Failure(Exception):  # noqa: N818 -- it is meant to happen
    pass


class Tenants(RuleBasedStateMachine):
    """Three organizations on one database, which others use as well."""

    runner: asyncio.Runner
    engine: PartmanEngine
    owner: "asyncpg.Connection[asyncpg.Record]"
    operations = 0

    @initialize()
    def begin(self) -> None:
        self.tenants = [Tenant() for _ in range(3)]
        ids = [tenant.id for tenant in self.tenants]
        self.runner.run(
            self.owner.execute(
                "INSERT INTO organizations (id, name, subdomain)"
                " SELECT id, 'new', id::text FROM unnest($1::uuid[]) AS id",
                ids,
            )
        )

    @rule(plans=st.lists(PLANS, min_size=1, max_size=4))
    def do_things_at_once(self, plans: list[Plan]) -> None:
        async def all_of_them() -> None:
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
                for plan in plans:
                    group.create_task(self._carry_out(plan))

        self.runner.run(all_of_them())

    @rule(aim=AIMS)
    def forget_the_tenant(self, aim: Aim) -> None:
        async def ask() -> None:
            left = await Organization.raw(f"SELECT {WHOSE_TENANT} AS tenant")
            assert left[0]["tenant"] in {None, ""}
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await aim.table.count()

        self.runner.run(ask())

    @rule(number=st.integers(0, 2))
    def look_an_organization_up(self, number: int) -> None:
        wanted = self.tenants[number].id
        found = self.runner.run(organization_for_subdomain(str(wanted), engine=self.engine))
        assert found == wanted

    def teardown(self) -> None:
        """What the owner sees is what all of them wrote, and saw, and nothing else."""
        if not hasattr(self, "tenants"):
            return
        sql = " UNION ALL ".join(
            f"SELECT '{table._meta.tablename}', "
            f"{'id' if table is Organization else 'organization_id'} AS tenant, id, {MARKS[table]}"
            f" FROM {table._meta.tablename}"
            for table in TABLES
        )
        rows = self.runner.run(
            self.owner.fetch(
                f"SELECT * FROM ({sql}) AS rows WHERE tenant = ANY ($1)",
                [tenant.id for tenant in self.tenants],
            )
        )
        assert {tuple(row) for row in rows} == set(everything(self.tenants))

    async def _carry_out(self, plan: Plan) -> None:
        block_is_over = asyncio.Event()
        outliving: list[asyncio.Task[None]] = []
        task = asyncio.create_task(self._enter(plan, block_is_over, outliving))
        try:
            await task
            ended: type[BaseException] | None = None
        except (asyncio.CancelledError, _Failure, TenantRolledBackError) as error:
            ended = type(error)
        finally:
            block_is_over.set()
        assert ended is _ENDS[plan.ending]
        await asyncio.gather(*outliving)

    async def _enter(
        self, plan: Plan, over: asyncio.Event, outliving: list[asyncio.Task[None]]
    ) -> None:
        async with tenant(self.tenants[plan.tenant].id, engine=self.engine) as transaction:
            draft = self.tenants[plan.tenant].draft()
            block = Block(self.engine, transaction, draft, self.tenants, outliving, over)
            for verb, aim in plan.steps:
                await verb(block, aim)
                type(self).operations += 1
            if plan.ending is Ending.COMMIT:
                # The only connection is still this block's: nobody else has looked yet.
                self.tenants[plan.tenant] = draft
            else:
                await _end_badly(plan.ending, transaction.connection)


_ENDS: dict[Ending, type[BaseException] | None] = {
    Ending.COMMIT: None,
    Ending.FAILURE: _Failure,
    Ending.CANCELLED: asyncio.CancelledError,
    Ending.CANCELLED_IN_A_STATEMENT: asyncio.CancelledError,
    Ending.SWALLOWED: TenantRolledBackError,
}


async def _end_badly(ending: Ending, connection: TenantConnection) -> None:
    task = asyncio.current_task()
    assert task is not None
    match ending:
        case Ending.FAILURE:
            raise _Failure
        case Ending.CANCELLED:
            task.cancel()
            await asyncio.sleep(0)
        case Ending.CANCELLED_IN_A_STATEMENT:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: loop.call_soon(task.cancel))  # when the statement is sent
            await connection.fetch("SELECT pg_sleep(60)")
        case Ending.SWALLOWED:
            with suppress(asyncpg.DivisionByZeroError):
                await connection.fetch("SELECT 1 / 0")


@contextmanager
def _running(database: Database, patch: pytest.MonkeyPatch) -> Iterator[type[Tenants]]:
    """The machine, with the application's engine and its pool of one, and the owner at hand."""

    class Running(Tenants):
        pass

    with asyncio.Runner() as runner:
        Running.runner = runner
        Running.engine = engine = PartmanEngine(
            settings=Settings.load({"DATABASE_URL": as_role(database.url, "partman_api")}),
            tenancy=TENANCY,
        )
        use(engine, patch)
        runner.run(engine.start_connection_pool(min_size=1, max_size=1))
        Running.owner = runner.run(asyncpg.connect(database.url))
        try:
            yield Running
        finally:
            runner.run(Running.owner.close())
            runner.run(asyncio.wait_for(engine.close_connection_pool(), DEADLINE))


def test_random_tenants_see_only_their_own_rows(
    database: Database,
    populated: Populated,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    with _running(database, monkeypatch) as machine:
        run_state_machine_as_test(machine, settings=PROFILE)
    assert machine.operations
    count(record_property, operations=machine.operations)
