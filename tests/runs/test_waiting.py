"""Whoever is in the way is named, with the statement that ends it: run as printed, it helps."""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import asyncpg
import pytest

from partman.database.other_sessions import in_the_way, obstacles_of
from partman.errors import ExitCode
from tests.faults.boundaries import state
from tests.faults.processes import Process, Zygote, wait_until
from tests.faults.sessions import (
    TAKE_THE_MIGRATION_LOCK,
    activity,
    session,
    wait_for_a_waiting_run,
)
from tests.project import Project
from tests.summary import some_on_every_version
from tests.support import as_role, execute, query
from tests.tenants import login_role

FORWARDS = ("piccolo", "migrations", "forwards", "all")
UPDATE = "UPDATE busy SET n = n + 1"
REPEATABLE_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ"
QUICKLY = """
from partman.migration.runner import step_output, waiting
waiting.SILENT = waiting._EVERY = 0.1
step_output.INTERVAL = 0.2
manager.online()
"""
"""An online migration that says soon for whom it waits."""
STEP = ["CREATE TABLE before ()", "ALTER TABLE busy ADD COLUMN added int"]
BUILD = ["CREATE TABLE before ()", "CREATE INDEX CONCURRENTLY busy_n ON busy (n)"]

_ENDS = re.compile(
    r"To end (?:it, which rolls its|them, which rolls their) work back:"
    r"((?: SELECT pg_terminate_backend\(\d+\);| ROLLBACK PREPARED '(?:[^']|'')*';)+)"
)


@pytest.fixture
def busy(project: Project) -> Project:
    execute(project.database.url, "CREATE TABLE busy AS SELECT 1 AS n")
    return project


@contextmanager
def idle(url: str) -> Iterator[list[str]]:
    with session(url, "BEGIN", UPDATE, name="nightly report") as one:
        yield [f"pid {one.pid} (nightly report)", "idle in transaction for ", UPDATE]


@contextmanager
def active(url: str) -> Iterator[list[str]]:
    with session(url, name="a long one") as one, ThreadPoolExecutor() as threads:
        work = threads.submit(one.execute, f"{UPDATE}; SELECT pg_sleep(60)")
        sleeping = f"pid = {one.pid} AND wait_event = 'PgSleep'"
        wait_until(lambda: activity(url, sleeping), "the other session was at work")
        yield [f"pid {one.pid} (a long one)", "active for ", "statement: UPDATE busy"]
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            work.result()


@contextmanager
def chain(url: str) -> Iterator[list[str]]:
    """A session that has the lock, and one that waits for it and is before the run in the queue."""
    alter = "ALTER TABLE busy ADD COLUMN waited int"
    with (
        session(url, name="it waits") as waiter,
        ThreadPoolExecutor() as threads,
        session(url, "BEGIN", UPDATE, name="the root") as root,
    ):
        work = threads.submit(waiter.execute, alter)
        waits = f"SELECT WHERE pg_blocking_pids({waiter.pid}) <> '{{}}'"
        wait_until(lambda: query(url, waits), "the other session waited")
        yield [
            f"In the way: pid {root.pid} (the root)",
            f"pid {waiter.pid} (it waits)",
            f"waiting for pid {root.pid}",
            f"work back: SELECT pg_terminate_backend({root.pid});",
        ]
    work.result()


@contextmanager
def prepared(url: str) -> Iterator[list[str]]:
    if query(url, "SHOW max_prepared_transactions")[0][0] == "0":
        pytest.skip("the server has max_prepared_transactions = 0")
    execute(url, f"BEGIN; {UPDATE}; PREPARE TRANSACTION 'it''s left'")
    yield ["the prepared transaction 'it''s left'", "ROLLBACK PREPARED 'it''s left';"]


@contextmanager
def several(url: str) -> Iterator[list[str]]:
    with ExitStack() as stack:
        share = ("BEGIN", "LOCK TABLE busy IN ROW EXCLUSIVE MODE")
        pids = [stack.enter_context(session(url, *share)).pid for _ in range(3)]
        ends = " ".join(f"SELECT pg_terminate_backend({pid});" for pid in pids)
        ended = f"To end them, which rolls their work back: {ends}"
        yield [*(f"pid {pid} (the test)" for pid in pids), ended]


Others = Callable[[str], AbstractContextManager[list[str]]]
OTHERS: list[Others] = [idle, active, chain, prepared, several]


def paste(url: str, said: str) -> None:
    """Run the statements that a message gives, as they are."""
    [*_, statements] = _ENDS.findall(said)
    found = [f"{each};" for each in statements.split(";") if each.strip()]
    execute(url, *found)


def end_as_told(url: str, run: Process) -> None:
    run.wait_for("waits for other sessions")
    paste(url, run.stderr)


@pytest.mark.parametrize("others", OTHERS)
def test_what_blocks_a_transaction_is_named_and_can_be_ended(busy: Project, others: Others) -> None:
    url = busy.database.url
    busy.write("1", STEP)
    with others(url) as facts:
        blocked = busy.forwards(PARTMAN_LOCK_TIMEOUT="0.5")
        assert blocked.code == ExitCode.TRY_AGAIN, blocked.output
        assert [fact for fact in facts if fact not in blocked.stderr] == []
        paste(url, blocked.stderr)
        again = busy.forwards()
    assert again.code == 0, again.output


@pytest.mark.parametrize(
    ("statements", "others"),
    # A build waits for several one after the other.
    some_on_every_version(
        [*((STEP, others) for others in OTHERS), *((BUILD, others) for others in OTHERS[:-1])], 3
    ),
)
def test_what_blocks_a_step_is_said_once_and_can_be_ended(
    zygote: Zygote,
    busy: Project,
    statements: list[str],
    others: Others,
) -> None:
    url = busy.database.url
    busy.write("1", statements, more=QUICKLY)
    with others(url) as facts:
        run = zygote.start(*FORWARDS, environment=busy.environment)
        end_as_told(url, run)
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert [fact for fact in facts if fact not in ended.stderr] == []
    assert "Step 2 of 1 waits for other sessions. In the way: " in ended.stderr
    assert ended.stderr.count(facts[0]) == 1
    assert "INFO Step 2 of 1 waits no longer." in ended.stderr
    assert "2/2 done" in ended.stdout
    assert state(url).ledger == ("1",)


@pytest.mark.parametrize(
    ("statement", "holds"),
    [
        ("REINDEX TABLE CONCURRENTLY parted_1", "LOCK TABLE parted_1 IN ROW EXCLUSIVE MODE"),
        ("ALTER TABLE parted DETACH PARTITION parted_1 CONCURRENTLY", "TABLE parted"),
        ("DROP INDEX CONCURRENTLY busy_n", "LOCK TABLE busy IN ROW EXCLUSIVE MODE"),
        ("VACUUM busy", "LOCK TABLE busy IN SHARE MODE"),
    ],
    ids=["reindex", "detach", "drop", "vacuum"],
)
def test_whatever_runs_in_no_transaction_says_for_whom_it_waits(
    zygote: Zygote, busy: Project, statement: str, holds: str
) -> None:
    url = busy.database.url
    execute(
        url,
        "CREATE INDEX busy_n ON busy (n)",
        "CREATE TABLE parted (n int PRIMARY KEY) PARTITION BY LIST (n)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)",
    )
    busy.write("1", ["CREATE TABLE before ()", statement], more=QUICKLY)
    with session(url, "BEGIN", holds, name="a report") as report:
        run = zygote.start(*FORWARDS, environment=busy.environment)
        end_as_told(url, run)
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert f"In the way: pid {report.pid} (a report), user " in ended.stderr
    assert ended.stderr.count("waits for other sessions") == 1


def test_a_new_one_in_the_way_is_said_too(zygote: Zygote, busy: Project) -> None:
    url = busy.database.url
    busy.write("1", BUILD, more=QUICKLY)
    with (
        session(url, "BEGIN", UPDATE, name="first") as first,
        session(
            url, "BEGIN ISOLATION LEVEL REPEATABLE READ", "TABLE busy", name="second"
        ) as second,
    ):
        run = zygote.start(*FORWARDS, environment=busy.environment)
        run.wait_for("(first)")
        first.execute("COMMIT")
        run.wait_for("(second)")
        # The build may wait for a short statement of another session, too.
        run.wait_for(f"sessions have ended their transactions, waiting for pid {second.pid}")
        paste(url, run.stderr)
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert ended.stderr.count("waits for other sessions") == 2
    assert "Step 2 of 1: waiting for old snapshots, " in ended.stderr


def test_a_run_does_without_the_connection_that_looks(zygote: Zygote, busy: Project) -> None:
    """It is cut, and opened again; it never has a snapshot for which the build would wait."""
    url = busy.database.url
    watching = (
        "SELECT pid, backend_xmin FROM pg_stat_activity"
        " WHERE application_name = 'partman: blockers' AND datname = current_database()"
    )
    busy.write("1", BUILD, more=QUICKLY)
    with session(url, "BEGIN", UPDATE, name="first") as first:
        run = zygote.start(*FORWARDS, environment=busy.environment)
        run.wait_for("(first)")
        [old] = query(url, watching)
        execute(url, f"SELECT pg_terminate_backend({old['pid']})")
        wait_until(
            lambda: [row for row in query(url, watching) if row["pid"] != old["pid"]],
            "it looked again",
        )
        first.execute("COMMIT")
        ended = run.wait()
    assert ended.code == 0, ended.output
    wait_until(lambda: not query(url, watching), "the connection was closed")


@pytest.mark.parametrize("held", [[], ["BEGIN"]], ids=["idle", "in transaction"])
def test_who_holds_the_migration_lock_is_named_and_can_be_ended(
    busy: Project, held: list[str]
) -> None:
    url = busy.database.url
    busy.write("1", STEP)
    with session(url, *held, TAKE_THE_MIGRATION_LOCK, name="a deploy") as holder:
        gave_up = busy.forwards(PARTMAN_LOCK_WAIT="0.1")
        assert gave_up.code == ExitCode.LOCKED
        told = gave_up.stderr.splitlines()
        assert len(told) == 2, told
        for line in told:
            assert f": pid {holder.pid} (a deploy), user " in line
            assert ("idle in transaction for " if held else "idle for ") in line
            assert f"SELECT pg_terminate_backend({holder.pid});" in line
        paste(url, gave_up.stderr)
        again = busy.forwards()
    assert again.code == 0, again.output


def test_for_whom_the_holder_of_the_migration_lock_waits_is_said(
    zygote: Zygote, busy: Project
) -> None:
    url = busy.database.url
    busy.write("1", STEP)
    environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "0"}
    with session(url, "BEGIN", UPDATE, name="nightly report") as report:
        first = zygote.start(*FORWARDS, environment=environment)
        holder = wait_for_a_waiting_run(url)
        second = busy.forwards(PARTMAN_LOCK_WAIT="0.1")
        assert f"lock: pid {holder} (partman forwards extra), user " in second.stderr
        assert f"It waits itself: pid {report.pid} (nightly report), user " in second.stderr
        first.wait_for("A statement of the migration waits for other sessions. In the way: pid")
        paste(url, second.stderr)
        ended = first.wait()
    assert ended.code == 0, ended.output


def test_retries_print_one_banner_and_no_contradiction(zygote: Zygote, busy: Project) -> None:
    url = busy.database.url
    busy.write("1", ["CREATE TABLE before ()"])
    busy.write("2", STEP[1:])
    environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "0.4"}
    with session(url, "BEGIN", UPDATE):
        run = zygote.start("partman", "migrate", environment=environment)
        run.wait_for("The same sessions are in the way. Retrying in ")
        paste(url, run.stderr)
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert ended.stdout.count("EXTRA") == ended.stdout.count("-----\n") == 1
    assert ended.stdout.count("ok! ") == 2
    assert ended.stderr.count("pg_terminate_backend") == 1
    assert "again" not in ended.stderr


def test_a_role_that_may_not_see_is_told_how_to_see_more(busy: Project) -> None:
    url = busy.database.url
    with (
        login_role() as role,
        session(url) as waiter,
        ThreadPoolExecutor() as threads,
        session(url, "BEGIN", UPDATE, name="a report") as other,
    ):
        work = threads.submit(waiter.execute, "ALTER TABLE busy ADD COLUMN added int")
        waits = f"SELECT FROM pg_locks WHERE NOT granted AND pid = {waiter.pid}"
        wait_until(lambda: query(url, waits), "a session waited")

        def told() -> str:
            return asyncio.run(_told(as_role(url, role), waiter.pid))

        before = told()
        execute(as_role(url, "postgres"), *re.findall(r"GRANT [^;]*;", before))
        after = told()
    work.result()
    assert f"pid {other.pid} (a report)" in before
    assert "its state and statement are hidden, holding row exclusive on busy" in before
    assert "Ending it needs a superuser" in before
    assert UPDATE not in before
    assert f"last statement: {UPDATE}" in after
    assert "hidden" not in after


async def _told(url: str, pid: int) -> str:
    connection = await asyncpg.connect(url)
    try:
        return in_the_way(await obstacles_of(connection, pid))
    finally:
        await connection.close()
