"""``partman adopt`` when something comes between: nothing is recorded, and it says so."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from partman.migration.ledger import history, lock
from tests.database.adopt_support import adopt, recorded
from tests.database.stock_project import StockProject, applied_by_stock
from tests.database.test_schema import INDEXES, INITIAL_SCHEMA
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote, wait_until
from tests.support import Completed, Database, execute, query

pytestmark = pytest.mark.same_on_every_version


@asynccontextmanager
async def held_history(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody keeps others from writing the history, for the duration of a block."""
    holder = await asyncpg.connect(database.url)
    try:
        await holder.execute(history.TABLE)
        await holder.execute("BEGIN; LOCK TABLE migration_history IN EXCLUSIVE MODE")
        yield holder
    finally:
        await holder.close()


async def adopting(database: Database, zygote: Zygote) -> Process:
    """An adoption that waits until it may write the history."""
    patient = database.environment | {"PARTMAN_LOCK_TIMEOUT": "60"}
    process = zygote.start("partman", "adopt", environment=patient)
    await waiting_for(database, "migration_history")
    return process


async def waiting_for(database: Database, table: str) -> None:
    def somebody_waits() -> bool:
        # Databases made from one template have the same OIDs.
        waiting = (
            "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
            " AND datname = current_database() AND relation = $1::text::regclass"
        )
        return bool(query(database.url, waiting, table))

    await asyncio.to_thread(wait_until, somebody_waits, f"somebody waits for {table}")


def test_killed_in_the_middle_nothing_is_recorded(story: Database, zygote: Zygote) -> None:
    """It is stopped after the first row of the ledger, and before that of the history."""

    async def run() -> None:
        async with held_history(story):
            process = await adopting(story, zygote)
            process.kill()
            assert process.wait().code < 0

    asyncio.run(run())
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration'") == []
    assert query(story.url, "SELECT * FROM migration_history") == []
    assert adopt(story, zygote).code == 0
    assert recorded(story) == [INITIAL_SCHEMA, INDEXES]


def test_a_lost_connection_is_no_traceback(story: Database, zygote: Zygote) -> None:
    async def run() -> Completed:
        async with held_history(story) as holder:
            process = await adopting(story, zygote)
            await holder.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'partman adopt'"
            )
            return await asyncio.to_thread(process.wait)

    completed = asyncio.run(run())
    assert completed.code == 4
    assert "partman status" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert query(story.url, "SELECT * FROM migration_history") == []


def test_waits_only_briefly_for_a_locked_history(story: Database, zygote: Zygote) -> None:
    async def run() -> Completed:
        async with held_history(story):
            return await asyncio.to_thread(adopt, story, zygote, PARTMAN_LOCK_TIMEOUT="0.1")

    completed = asyncio.run(run())
    assert completed.code == 8
    assert "Run the command again later" in completed.stderr
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration'") == []


def test_a_role_without_write_access_to_the_ledger_is_reported(
    story: Database, zygote: Zygote
) -> None:
    ledger = "CREATE TABLE migration (id serial, name text, app_name text, ran_on timestamp)"
    execute(story.url, ledger, "REVOKE INSERT ON migration FROM CURRENT_USER")
    completed = adopt(story, zygote)
    assert completed.code == 6
    assert "permission denied for table migration" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration_history'") == []


def test_does_not_wait_for_ever_for_another_run(story: Database, zygote: Zygote) -> None:
    async def run() -> Completed:
        holder = await asyncpg.connect(story.url)
        try:
            await lock.acquire(holder, patience=0, report=print)
            return await asyncio.to_thread(adopt, story, zygote, PARTMAN_LOCK_WAIT="0.1")
        finally:
            await holder.close()

    completed = asyncio.run(run())
    assert completed.code == 9
    assert recorded(story) == []


def test_a_change_while_the_migrations_were_tried_is_noticed(
    story: Database, zygote: Zygote
) -> None:
    """It is stopped before it records; what it had read is not there any more by then."""

    async def run() -> Completed:
        holder = await asyncpg.connect(story.url)
        try:
            await holder.execute(
                "CREATE TABLE migration (id serial primary key, name text,"
                " app_name text, ran_on timestamp)"
            )
            await holder.execute("BEGIN; LOCK TABLE migration IN EXCLUSIVE MODE")
            process = zygote.start(
                *("partman", "adopt"),
                environment=story.environment | {"PARTMAN_LOCK_TIMEOUT": "60"},
            )
            await waiting_for(story, "migration")
            await holder.execute("CREATE INDEX by_hand ON partners (name)")
            await holder.execute("COMMIT")
            return process.wait()
        finally:
            await holder.close()

    completed = asyncio.run(run())
    assert completed.code == 8, completed.output
    assert "changed since it was read" in completed.stderr
    assert recorded(story) == []


class TestALedger:
    """Of stock Piccolo: what comes between leaves it as it was, and no history."""

    @pytest.fixture
    def stock(self) -> Iterator[StockProject]:
        def write(stock: StockProject) -> None:
            for number in (1, 2, 3):
                stock.write(f"2026-0{number}", f"CREATE TABLE t{number} (id int)")

        with applied_by_stock("three_of_stock", write) as stock:
            yield stock

    def test_is_left_alone_by_a_process_that_is_killed(self, stock: StockProject) -> None:
        """Between two rows of the history."""
        before = stock.ledger
        process: list[Process] = []
        with CuttingProxy(
            stock.project.database,
            at_request=(b"\x00\x00\x00\x07adopted", 2),  # the value in the second row
            cut=lambda: process[0].kill(),
        ) as proxy:
            environment = stock.project.environment | {"DATABASE_URL": proxy.url}
            process.append(stock.project.zygote.start("partman", "adopt", environment=environment))
            assert process[0].wait().code < 0
        assert (stock.ledger, stock.history) == (before, [])
        assert stock.adopt().code == 0
        assert len(stock.history) == 3

    def test_is_not_recorded_while_another_run_holds_the_lock(self, stock: StockProject) -> None:
        async def run() -> Completed:
            holder = await asyncpg.connect(stock.project.database.url)
            try:
                await lock.acquire(holder, patience=0, report=print)
                return await asyncio.to_thread(
                    stock.project.partman, "adopt", PARTMAN_LOCK_WAIT="0.1"
                )
            finally:
                await holder.close()

        completed = asyncio.run(run())
        assert completed.code == 9
        assert "nothing was changed" in completed.stderr
        assert stock.history == []

    @pytest.mark.parametrize(
        "meanwhile",
        [
            "DELETE FROM migration WHERE name = '2026-03'",
            "INSERT INTO migration (app_name, name, ran_on) VALUES ('extra', '2026-04', now())",
        ],
    )
    def test_that_stock_piccolo_changes_meanwhile_is_not_recorded(
        self, stock: StockProject, meanwhile: str
    ) -> None:
        """Its engine takes no lock. Here it has changed rows only, which no catalog shows."""

        async def run() -> Completed:
            async with held_history(stock.project.database) as holder:
                process = await self.adopting(stock)
                await asyncio.to_thread(execute, stock.project.database.url, meanwhile)
                await holder.execute("COMMIT")
                return await asyncio.to_thread(process.wait)

        completed = asyncio.run(run())
        assert completed.code == 8, completed.output
        assert "the ledger has changed since it was read" in completed.stderr
        assert stock.history == []

    async def adopting(self, stock: StockProject) -> Process:
        project = stock.project
        patient = project.environment | {"PARTMAN_LOCK_TIMEOUT": "60"}
        process = project.zygote.start("partman", "adopt", environment=patient)
        await waiting_for(project.database, "migration_history")
        return process
