"""What a probe costs, and that nothing makes it wait: no lock, no dead or hanging server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from partman.errors import DatabaseUnavailableError
from partman.migration.ledger.readiness import READ_SNAPSHOT, Watch
from partman.serve.probes.health import Probe
from partman.serve.reader import Reader
from partman.settings import Settings
from tests import shared
from tests.proxy import Proxy
from tests.support import Database, execute, migrate, with_database
from tests.tenants import DEADLINE, eventually

if TYPE_CHECKING:
    import asyncpg

PATIENCE = 0.3
OURS = """
SELECT pid, wait_event_type FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'partman serve'
"""


@pytest.fixture(scope="module")
def migrated(quiet_server: str) -> Database:
    """A migrated database, on a server where nothing is committed but by these tests."""
    database = _created(quiet_server, "FILE_COPY")
    migrate(database)
    return database


@pytest.fixture
def database(quiet_server: str, migrated: Database) -> Database:
    """A clone of it."""
    return _created(quiet_server, f"FILE_COPY TEMPLATE {migrated.name}")


def _created(server: str, how: str) -> Database:
    database = Database(with_database(server, shared.unique_name()))
    execute(server, f"CREATE DATABASE {database.name} STRATEGY {how}")
    return database


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with Proxy(database) as proxy:
        proxy.open()
        yield proxy


@asynccontextmanager
async def reading(url: str, patience: float = DEADLINE) -> AsyncIterator[Reader]:
    reader = Reader(Settings.load({"DATABASE_URL": url}), patience=patience)
    try:
        # What has to hold is that it ends: the driver's own timeout is twice as long.
        async with asyncio.timeout(DEADLINE / 2):
            yield reader
    finally:
        await reader.close()


async def statements(
    reader: Reader, probe: Probe, times: int, *, ready: bool | None = True
) -> list[str]:
    """Ask for readiness so many times at once; return what was sent to the server."""
    sent: list[str] = []
    async with reader.connection() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
    answers = await asyncio.gather(*(probe.readiness() for _ in range(times)))
    assert all(answer.ready for answer in answers) or ready is None
    return sent


async def test_a_probe_is_one_statement_until_something_has_changed(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        assert len(await statements(reader, probe, 1)) > 1
        assert len(await statements(reader, probe, 1)) == 1
        await connection.execute(
            "INSERT INTO migration_history (app, migration, direction, outcome, started_at,"
            " duration, os_user, host, partman_version, piccolo_version, error)"
            " VALUES ('a', 'b', 'forwards', 'failed', now(), '1 s', '', '', '', '', 'no')"
        )
        assert len(await statements(reader, probe, 1)) > 1
        assert len(await statements(reader, probe, 1)) == 1


COMMITTED = [
    "DELETE FROM migration WHERE id = (SELECT max(id) FROM migration)",
    "UPDATE migration SET name = 'x' WHERE id = (SELECT min(id) FROM migration)",
    "UPDATE migration SET app_name = 'x' WHERE id = (SELECT min(id) FROM migration)",
    "DO $$ BEGIN UPDATE migration SET name = 'y' WHERE name = 'x';"
    " RAISE EXCEPTION ''; EXCEPTION WHEN raise_exception THEN DELETE FROM migration"
    " WHERE id = (SELECT min(id) FROM migration); END $$",
    "ALTER TABLE migration RENAME TO elsewhere",
    "ALTER TABLE elsewhere RENAME TO migration",
    "CREATE TABLE migration_distribution (a int)",
    "TRUNCATE migration",
    "VACUUM FULL migration",
    "DROP TABLE migration_step",
    "DROP TABLE migration_history",
    "DROP TABLE migration",
]


async def test_whatever_is_committed_is_seen_by_the_next_probe(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Compared each time with what somebody says who knows nothing from before."""
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        answers = [await probe.readiness()]
        for statement in COMMITTED:
            await probe.readiness()
            assert await statements(reader, probe, 1, ready=None) == [READ_SNAPSHOT]
            await connection.execute(statement)
            assert await probe.readiness() == await Watch().look(connection), statement
            answers.append(await probe.readiness())
        assert len({answer.detail for answer in answers}) > 4


async def test_a_probe_sees_a_commit_among_transactions_that_are_open(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with reading(database.url) as reader, reading(database.url) as another:
        probe = Probe(reader, Watch())
        async with another.connection() as other:
            await other.execute("SET default_transaction_read_only = off")
            await connection.execute("BEGIN; DELETE FROM migration")
            await other.execute("BEGIN; CREATE TABLE held (a int)")
            for _ in range(3):
                assert (await probe.readiness()).ready
            await connection.execute("COMMIT")
            assert (await probe.readiness()).reason == "drifted"
            await other.execute("ROLLBACK")


async def test_where_others_commit_a_probe_is_still_one_statement(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        await statements(reader, probe, 2)
        await connection.execute("SELECT pg_current_xact_id()")
        assert len(await statements(reader, probe, 1)) == 2, "it was quiet until now"
        for _ in range(3):
            await connection.execute("SELECT pg_current_xact_id()")
            assert len(await statements(reader, probe, 1)) == 1
        sent = [(await statements(reader, probe, 1))[0] for _ in range(2)]
        assert sent[0] != sent[1] == READ_SNAPSHOT


async def test_probes_at_once_share_one_answer(database: Database) -> None:
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        assert (await probe.readiness()).ready
        assert len(await statements(reader, probe, 50)) == 1


async def test_a_disconnected_client_does_not_cancel_shared_answers(database: Database) -> None:
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        first, second = (asyncio.create_task(probe.readiness()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).ready


async def test_it_keeps_one_connection(proxy: Proxy) -> None:
    async with reading(proxy.url) as reader:
        probe = Probe(reader, Watch())
        for _ in range(5):
            assert (await probe.readiness()).ready
        assert proxy.accepted == 1


async def test_a_connection_that_was_lost_is_no_failed_probe(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with reading(database.url) as reader:
        probe = Probe(reader, Watch())
        for _ in range(3):
            assert (await probe.readiness()).ready
            [session] = await connection.fetch(OURS)
            end = f"SELECT pg_terminate_backend({session['pid']}, 60000)"
            ending = threading.Thread(target=execute, args=(database.url, end))
            ending.start()
            ending.join()  # the loop stands still, so the driver does not see the end coming


async def test_a_server_that_says_nothing_is_unreachable(proxy: Proxy) -> None:
    proxy.freeze()
    async with reading(proxy.url, PATIENCE) as reader:
        probe = Probe(reader, Watch())
        answers = await asyncio.gather(*(probe.readiness() for _ in range(20)))
        assert {answer.reason for answer in answers} == {"unreachable"}
        assert "no answer in time" in answers[0].detail
        proxy.thaw()
        await eventually(lambda: is_ready(probe))


async def test_a_server_that_stops_to_answer_is_unreachable(proxy: Proxy) -> None:
    async with reading(proxy.url, PATIENCE) as reader:
        probe = Probe(reader, Watch())
        assert (await probe.readiness()).ready
        proxy.freeze()
        readiness = await probe.readiness()
        assert readiness.reason == "unreachable"
        assert "no answer in time" in readiness.detail
        proxy.thaw()
        await eventually(lambda: is_ready(probe))


async def execute_elsewhere(database: Database, statement: str) -> None:
    await asyncio.to_thread(execute, database.url, statement)


async def is_ready(probe: Probe) -> bool:
    return (await probe.readiness()).ready


async def test_a_locked_ledger_holds_up_neither_the_probe_nor_the_server(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with reading(database.url, PATIENCE) as reader:
        probe = Probe(reader, Watch())
        assert (await probe.readiness()).ready
        await connection.execute("BEGIN; LOCK TABLE migration IN ACCESS EXCLUSIVE MODE")
        assert (await probe.readiness()).ready, "nothing has changed since it was read"
        try:
            await execute_elsewhere(database, "SELECT pg_current_xact_id()")
            assert (await probe.readiness()).reason == "unreachable"

            async def nobody_waits() -> bool:
                sessions = await connection.fetch(OURS)
                return "Lock" not in {session["wait_event_type"] for session in sessions}

            await eventually(nobody_waits)
        finally:
            await connection.execute("ROLLBACK")
        assert (await probe.readiness()).ready


async def test_a_question_that_waits_for_another_gives_up_in_time(database: Database) -> None:
    async with reading(database.url, PATIENCE) as reader, reader.connection():
        with pytest.raises(DatabaseUnavailableError, match="the previous question"):
            await reader.ask(lambda connection: connection.fetchval("SELECT 1"))


async def test_a_question_that_is_cancelled_leaves_a_reader_that_works(proxy: Proxy) -> None:
    async with reading(proxy.url) as reader:
        began = asyncio.Event()
        asking = asyncio.create_task(reader.ask(partial(sleep, began)))
        await began.wait()
        # The driver asks the server to cancel it, and would wait here for what comes of that.
        proxy.abandon()
        asking.cancel()
        await asyncio.wait([asking])
        assert await reader.ask(lambda connection: connection.fetchval("SELECT 1")) == 1


async def sleep(began: asyncio.Event, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    began.set()
    await connection.execute("SELECT pg_sleep(600)")


async def test_a_reader_writes_nothing(database: Database) -> None:
    async with reading(database.url) as reader:
        with pytest.raises(DatabaseUnavailableError, match="read-only transaction"):
            await reader.ask(lambda connection: connection.execute("CREATE TABLE t ()"))


async def test_through_a_transaction_pooler_it_leaves_nothing_on_the_session(
    database: Database,
) -> None:
    settings = Settings.load({"DATABASE_URL": database.url, "PARTMAN_POOLING": "transaction"})
    reader = Reader(settings)
    try:
        async with reader.connection() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "0"
            prepared = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
            assert prepared <= 1, "only the one that asks"
    finally:
        await reader.close()


async def test_a_probe_starts_no_embedded_server(tmp_path: Path) -> None:
    folder = tmp_path / "never"
    reader = Reader(Settings.load({"PARTMAN_DATA_DIR": str(folder)}))
    readiness = await Probe(reader, Watch()).readiness()
    assert readiness.reason == "unreachable"
    assert "partman server start" in readiness.detail
    assert not folder.exists()
