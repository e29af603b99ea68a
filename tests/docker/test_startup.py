"""What startup.sh does before it becomes the command it was given."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from partman.errors import ExitCode
from tests.faults.processes import forked_scripts
from tests.proxy import Proxy
from tests.support import (
    ROOT,
    SIX_TABLES,
    Completed,
    Database,
    clean_environment,
    query,
    run_script,
    with_database,
)

STARTUP = str(ROOT / "docker" / "startup.sh")
PRODUCTION = {"PARTMAN_ENV": "production"}
"""For the tests that need no sample data."""
PROJECT = {"PYTHONPATH": str(ROOT)}
"""Where the project is, for what is started outside the checkout."""
HANG = 60
"""Seconds after which a test gives up; no test depends on it otherwise."""


def startup(database: Database, directory: Path, *command: str, **variables: str) -> Completed:
    """Run startup.sh to its end, outside the checkout, as a container would."""
    environment = database.environment | PROJECT | forked_scripts("commands") | variables
    return run_script(STARTUP, *command, environment=environment, cwd=directory)


def tables(database: Database) -> set[str]:
    rows = query(database.url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


def counts(database: Database) -> dict[str, int]:
    return {
        table: query(database.url, f"SELECT count(*) FROM {table}")[0][0]
        for table in sorted(SIX_TABLES | {"migration"})
    }


def test_a_fresh_database_is_migrated_and_seeded_and_then_left_as_it_is(
    empty_database: Database, tmp_path: Path
) -> None:
    completed = startup(empty_database, tmp_path, "partman", "status")
    assert completed.code == 0, completed.output
    assert "0 pending" in completed.stdout
    rows = counts(empty_database)
    assert all(rows.values())
    ledger = query(empty_database.url, "SELECT * FROM migration ORDER BY id")
    completed = startup(empty_database, tmp_path, "echo", "the command")
    assert completed.code == 0, completed.output
    assert completed.stdout == "the command\n"
    assert query(empty_database.url, "SELECT * FROM migration ORDER BY id") == ledger
    assert counts(empty_database) == rows


def test_a_server_that_comes_late_is_waited_for(empty_database: Database, tmp_path: Path) -> None:
    with (
        Proxy(empty_database) as server,
        started(server.url, tmp_path, "echo", "the command", forks=True) as process,
    ):
        read_up_to(process, "Waiting")
        server.open()
        stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 0, stderr
    assert stdout == "the command\n"
    assert tables(empty_database) >= SIX_TABLES


def test_a_failing_migration_stops_it_before_the_command(
    empty_database: Database, tmp_path: Path
) -> None:
    query(empty_database.url, "CREATE TABLE alerts (in_the_way integer)")
    query(empty_database.url, "INSERT INTO alerts VALUES (1)")
    completed = startup(empty_database, tmp_path, "echo", "the command")
    assert completed.code == ExitCode.MIGRATION
    assert completed.stdout == ""
    assert "'piccolo migrations forwards all' ended with exit code 7" in completed.stderr
    assert "partman seed" not in completed.stderr
    assert tables(empty_database) == {"alerts", "migration", "migration_history"}
    assert query(empty_database.url, "SELECT * FROM migration") == []
    assert [tuple(row) for row in query(empty_database.url, "SELECT * FROM alerts")] == [(1,)]


def test_a_database_that_does_not_exist_stops_it_with_the_exit_code_for_that(
    empty_database: Database, tmp_path: Path
) -> None:
    missing = with_database(empty_database.url, f"{empty_database.name}_missing")
    completed = startup(Database(missing), tmp_path, "echo", "the command")
    assert completed.code == ExitCode.UNAVAILABLE
    assert completed.stdout == ""
    assert "piccolo migrations" not in completed.stderr


def test_without_a_command_it_migrates_and_ends_and_production_gets_no_sample_data(
    empty_database: Database, tmp_path: Path
) -> None:
    completed = startup(empty_database, tmp_path, **PRODUCTION)
    assert completed.code == 0, completed.output
    assert tables(empty_database) >= SIX_TABLES
    rows = counts(empty_database)
    assert (rows["organizations"], rows["users"]) == (1, 1)  # the default ones
    assert rows["partners"] == rows["opportunities"] == 0


def test_the_command_gets_its_arguments_as_they_were_given_and_its_exit_code_is_the_exit_code(
    database: Database, tmp_path: Path
) -> None:
    given = ["two words", "", "*", "it's", 'a "quote"', "$HOME", "line\nbreak"]
    show = "import sys; print(sys.argv[1:]); sys.exit(42)"
    completed = startup(database, tmp_path, sys.executable, "-c", show, *given, **PRODUCTION)
    assert completed.stdout == f"{given}\n"
    assert completed.code == 42


def test_the_command_takes_the_place_of_the_script_and_gets_its_signals(
    database: Database, tmp_path: Path
) -> None:
    server = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print(os.getpid(), flush=True)\n"
        "while True: signal.pause()"
    )
    with started(database.url, tmp_path, sys.executable, "-c", server, forks=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid}\n"
        process.terminate()
        assert process.wait(HANG) == 7


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_waiting_at_once(
    number: signal.Signals, code: int, empty_database: Database, tmp_path: Path
) -> None:
    with (
        Proxy(empty_database) as never_opened,
        started(never_opened.url, tmp_path, "echo", "the command") as process,
    ):
        read_up_to(process, "Waiting")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=HANG)
        assert no_process_is_left(process)
    # Not ExitCode.UNAVAILABLE, which it ends with when its time is up.
    assert process.returncode == code, stderr
    assert stdout == ""


def test_a_signal_ends_a_migration_which_leaves_nothing_behind(
    empty_database: Database, tmp_path: Path
) -> None:
    with (
        a_table_in_the_making(empty_database, "organizations"),
        started(empty_database.url, tmp_path, "echo", "the command") as process,
    ):
        wait_until(lambda: bool(other_sessions(empty_database, "wait_event_type = 'Lock'")))
        process.terminate()
        stdout, stderr = process.communicate(timeout=HANG)
        assert no_process_is_left(process)
    assert process.returncode == 143, stderr
    assert stdout == ""
    # The server may notice only after the statement that its client is gone.
    wait_until(lambda: not other_sessions(empty_database))
    assert tables(empty_database) <= {"migration", "migration_history"}


@contextmanager
def a_table_in_the_making(database: Database, name: str) -> Iterator[None]:
    """Create a table and do not commit: whoever wants to create it too has to wait."""

    async def create() -> "asyncpg.Connection[asyncpg.Record]":
        connection = await asyncpg.connect(database.url)
        await connection.execute(f"BEGIN; CREATE TABLE {name} (in_the_way integer)")
        return connection

    with asyncio.Runner() as runner:
        connection = runner.run(create())
        try:
            yield
        finally:
            runner.run(connection.close())  # which rolls back


@contextmanager
def started(
    url: str, directory: Path, *command: str, forks: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """Start startup.sh in a process group of its own; whatever is left of it is killed.

    ``forks``: its steps are forked, and not in that group.
    """
    environment = {"DATABASE_URL": url, **PROJECT, **PRODUCTION}
    process = subprocess.Popen(
        [STARTUP, *command],
        env=clean_environment(**environment, **(forked_scripts("commands") if forks else {})),
        cwd=directory,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if not no_process_is_left(process):
                os.killpg(process.pid, signal.SIGKILL)


def no_process_is_left(process: "subprocess.Popen[str]") -> bool:
    """Whether the process and all that it started have ended."""
    if process.poll() is None:
        return False
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def read_up_to(process: "subprocess.Popen[str]", text: str) -> None:
    """Read the standard error up to a line with ``text``."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return
    pytest.fail(f"It ended without saying {text!r}: {seen}")


def other_sessions(database: Database, condition: str = "true") -> list[asyncpg.Record]:
    return query(
        database.url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        f"AND pid <> pg_backend_pid() AND {condition}",
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.05)
