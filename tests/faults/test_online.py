"""Online steps wait only briefly for locks, and a killed run resumes at its step."""

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count as count_from

import pytest

from partman.errors import ExitCode
from tests.faults.boundaries import state, whole_state
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote, wait_until
from tests.faults.sessions import session, wait_for_a_waiting_run, waiting
from tests.project import Project
from tests.summary import Record, count, stride
from tests.support import execute, query, temporary_database

FORWARDS = ("piccolo", "migrations", "forwards", "all")
ONLINE = "manager.online()"
TABLE = "CREATE TABLE busy (n int); INSERT INTO busy VALUES (1), (2); CREATE INDEX old ON busy (n)"
OLD_TRANSACTION = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM pg_class")
"""What CREATE INDEX CONCURRENTLY waits for, with the index there and invalid."""
STEPS = [
    "INSERT INTO busy VALUES (10)",
    "CREATE INDEX CONCURRENTLY new ON busy (n)",
    "INSERT INTO busy VALUES (20)",
    "DROP INDEX CONCURRENTLY old",
]


@pytest.fixture
def busy(project: Project) -> Project:
    """A project on a database with a table that is in use."""
    execute(project.database.url, TABLE)
    return project


def test_readers_do_not_queue_behind_a_waiting_step(zygote: Zygote, busy: Project) -> None:
    """The session's own lock_timeout is off: only the step's can make it leave the queue."""
    url = busy.database.url
    busy.write("1", ["ALTER TABLE busy ADD COLUMN added int"], more=ONLINE)
    with (
        session(url, "BEGIN", "SELECT * FROM busy") as blocker,
        session(url, "SET statement_timeout = '30s'") as reader,
    ):
        run = zygote.start(*FORWARDS, environment=busy.environment | {"PARTMAN_LOCK_TIMEOUT": "0"})
        for _ in range(3):
            wait_for_a_waiting_run(url)
            reader.execute("SELECT * FROM busy")  # queues behind the step, and gets its turn
            wait_until(lambda: not waiting(url), "the step had left the queue")
        assert [row["n"] for row in query(url, "SELECT n FROM busy ORDER BY n")] == [1, 2]
        blocker.execute("COMMIT")
        ended = run.wait()

    assert ended.code == 0, ended.output
    assert state(url).ledger == ("1",)


@pytest.mark.same_on_every_version
def test_steps_run_under_a_lock_timeout_of_100_ms(zygote: Zygote, busy: Project) -> None:
    busy.write(
        "1", ["CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS it"], more=ONLINE
    )

    assert zygote.run(*FORWARDS, environment=busy.environment).code == 0

    assert [row["it"] for row in query(busy.database.url, "TABLE seen")] == ["100ms"]


@pytest.mark.same_on_every_version
def test_a_step_without_timeouts_restores_them_afterwards(zygote: Zygote, busy: Project) -> None:
    busy.write("1", ["CREATE INDEX CONCURRENTLY new ON busy (n)"], more=ONLINE)
    busy.write("2", ["CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS it"])

    assert zygote.run(*FORWARDS, environment=busy.environment).code == 0

    assert [row["it"] for row in query(busy.database.url, "TABLE seen")] == ["2s"]


@pytest.mark.same_on_every_version
def test_a_killed_run_resumes_at_its_step(
    zygote: Zygote, busy: Project, record_property: Record
) -> None:
    busy.write("1", STEPS, more=ONLINE)
    points = count_from(1, stride(4))
    outcomes: list[str | None] = []
    with ThreadPoolExecutor(3) as pool:
        while None not in outcomes:
            trial = [(zygote, busy, next(points)) for _ in range(3)]
            outcomes += pool.map(lambda arguments: _kill_at(*arguments), trial)

    problems = [outcome for outcome in outcomes if outcome]
    tried = sum(outcome is not None for outcome in outcomes)
    count(record_property, kills=tried, half_done=len(problems))
    assert not problems, "\n".join(problems)
    assert tried > 10


def _kill_at(zygote: Zygote, project: Project, point: int) -> str | None:
    """Return what went wrong; None when the run came to its end before that point."""
    with temporary_database() as database:
        execute(database.url, TABLE)
        started: Future[Process] = Future()
        with CuttingProxy(database, at_answer=point, cut=lambda: started.result().kill()) as proxy:
            environment = project.environment | {"DATABASE_URL": proxy.url}
            started.set_result(zygote.start(*FORWARDS, environment=environment))
            started.result().wait()
        state(database.url)  # waits for the server to have noticed
        again = zygote.run(
            *FORWARDS, environment=project.environment | {"DATABASE_URL": database.url}
        )
        rows = [row["n"] for row in query(database.url, "SELECT n FROM busy ORDER BY n")]
        indexes = query(
            database.url,
            "SELECT indexrelid::regclass::text AS name, indisvalid FROM pg_index"
            " WHERE indrelid = 'busy'::regclass",
        )
        left = state(database.url)
        found = (again.code, rows, [tuple(row) for row in indexes], left.ledger)
        if found != (0, [1, 2, 10, 20], [("new", True)], ("1",)):
            return f"point {point}: {found}\n{again.output}"
        return "" if proxy.has_cut.is_set() else None


def test_an_invalid_index_of_a_killed_build_is_dropped_and_built_again(
    zygote: Zygote, busy: Project, record_property: Record
) -> None:
    url = busy.database.url
    busy.write("1", ["CREATE INDEX CONCURRENTLY new ON busy (n)"], more=ONLINE)
    with session(url, *OLD_TRANSACTION):
        run = zygote.start(*FORWARDS, environment=busy.environment)
        wait_until(lambda: _index(url) is not None, "the index was being built")
        wait_for_a_waiting_run(url)
        run.kill()
        run.wait()
        wait_until(lambda: not waiting(url), "the server had noticed")
        broken = _index(url)
    assert broken is not None
    assert not broken[1]

    ended = zygote.run(*FORWARDS, environment=busy.environment)

    assert ended.code == 0, ended.output
    assert "was interrupted; done again" in ended.stdout
    rebuilt = _index(url)
    assert rebuilt is not None
    assert rebuilt[1]
    assert rebuilt[0] != broken[0]
    count(record_property, kills=1)


def test_a_failed_build_leaves_no_invalid_index_and_can_be_run_again(
    zygote: Zygote, busy: Project
) -> None:
    url = busy.database.url
    busy.write("1", ["CREATE UNIQUE INDEX CONCURRENTLY new ON busy (n)"], more=ONLINE)
    execute(url, "INSERT INTO busy VALUES (1)")

    failed = zygote.run(*FORWARDS, environment=busy.environment)
    after_failure = _index(url)
    execute(url, "DELETE FROM busy WHERE n = 1")
    again = zygote.run(*FORWARDS, environment=busy.environment)

    assert failed.code == ExitCode.MIGRATION
    assert "could not create unique index" in failed.stderr
    assert after_failure is None
    assert again.code == 0, again.output
    built = _index(url)
    assert built is not None
    assert built[1]


def test_a_step_of_unknown_outcome_stops_the_next_run(
    zygote: Zygote, busy: Project, record_property: Record
) -> None:
    url = busy.database.url
    execute(
        url,
        "CREATE PROCEDURE work() LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO busy VALUES (3); COMMIT;"
        " PERFORM pg_advisory_lock(1); END $$",
    )
    busy.write("1", ["CALL work()"], more=ONLINE)
    allowed = busy.environment | {"PARTMAN_ALLOW_DATA_LOSS": "1"}
    with session(url, "SELECT pg_advisory_lock(1)"):
        run = zygote.start(*FORWARDS, environment=allowed)
        wait_for_a_waiting_run(url)
        run.kill()
        run.wait()
        wait_until(lambda: not waiting(url), "the server had noticed")
    before = whole_state(url)

    ended = zygote.run(*FORWARDS, environment=allowed)

    assert ended.code == ExitCode.MIGRATION
    assert (
        "Step 1 of 1 was interrupted, and the catalog does not show whether it took effect"
        in ended.stderr
    )
    assert "CALL work()" in ended.stderr
    assert "UPDATE public.migration_step" in ended.stderr
    assert whole_state(url).contents == before.contents

    execute(url, "UPDATE migration_step SET finished_at = now() WHERE migration = '1'")
    assert zygote.run(*FORWARDS, environment=busy.environment).code == 0
    assert [row["n"] for row in query(url, "SELECT n FROM busy ORDER BY n")] == [1, 2, 3]
    count(record_property, kills=1)


@pytest.mark.same_on_every_version
def test_a_preview_prints_every_step_in_order_and_writes_nothing(
    zygote: Zygote, busy: Project
) -> None:
    busy.write("1", STEPS, more=ONLINE)
    before = whole_state(busy.database.url)

    preview = zygote.run(*FORWARDS, "--preview", environment=busy.environment)

    assert preview.code == 0, preview.output
    places = [preview.stdout.index(step) for step in STEPS]
    assert places == sorted(places)
    after = whole_state(busy.database.url)
    assert after == before
    assert after.bookkeeping == (False, False)


def _index(url: str) -> tuple[int, bool] | None:
    """The OID of the index ``new``, and whether it is valid."""
    rows = query(url, "SELECT indexrelid, indisvalid FROM pg_index"
                      " WHERE indexrelid = to_regclass('new')")  # fmt: skip
    return (rows[0][0], rows[0][1]) if rows else None
