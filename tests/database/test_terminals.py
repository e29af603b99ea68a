"""Standard output, and commands that are stopped early."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.processes import wait_until
from tests.support import MIGRATIONS, ROOT, Database, clean_environment, query, run_script, script
from tests.tenants import held

pytestmark = pytest.mark.same_on_every_version


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """The writing end of a pipe whose reading end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


MIGRATE = [("partman", "migrate"), ("piccolo", "migrations", "forwards", "all")]
both = pytest.mark.parametrize("command", MIGRATE, ids=["partman", "piccolo"])


def run_into(database: Database, *command: str, stdout: int) -> tuple[int, str]:
    process = subprocess.run(
        [script(command[0]), *command[1:]],
        env=clean_environment(**database.environment),
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return process.returncode, process.stderr


@both
def test_control_c_reports_the_rollback(database: Database, command: tuple[str, ...]) -> None:
    def waits() -> bool:
        # Other tests wait on the same server, in other databases.
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'migration'::regclass"
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        return bool(query(database.url, f"{waiting} AND database = {here}"))

    with held(database.url, "LOCK TABLE migration"):
        process = subprocess.Popen(
            [script(command[0]), *command[1:]],
            env=clean_environment(**database.environment),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(waits, "it waits for the ledger")
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}  # a shell says 130 of both
    assert printed == (
        "partman: Interrupted. Uncommitted changes were rolled back. Show what is applied with: "
        "partman status\n"
    )


@both
def test_a_closed_output_pipe_stops_a_run_with_a_message(
    empty_database: Database, closed_pipe: int, command: tuple[str, ...]
) -> None:
    code, printed = run_into(empty_database, *command, stdout=closed_pipe)
    assert code == (7 if command[0] == "partman" else 1)
    assert "Output pipe closed; the run was stopped." in printed
    assert "Traceback" not in printed
    assert "Exception ignored" not in printed
    assert query(empty_database.url, "SELECT to_regclass('organizations') AS it")[0]["it"] is None


def test_a_closed_output_pipe_of_status_prints_no_error(
    database: Database, closed_pipe: int
) -> None:
    assert run_into(database, "partman", "status", stdout=closed_pipe) == (1, "")


def test_status_works_without_standard_output(database: Database) -> None:
    completed = subprocess.run(
        ["sh", "-c", 'exec "$0" status >&-', script("partman")],
        env=clean_environment(**database.environment),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (completed.returncode, completed.stderr) == (0, b"")


@both
def test_a_terminal_without_unicode_does_not_stop_a_run(
    empty_database: Database, command: tuple[str, ...]
) -> None:
    ascii_only = empty_database.environment | {"PYTHONIOENCODING": "ascii"}
    completed = run_script(*command, environment=ascii_only)
    assert completed.code == 0, completed.output
    assert completed.stdout.count("ok! ") == len(MIGRATIONS)
