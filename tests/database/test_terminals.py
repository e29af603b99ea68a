"""Where the output goes, and who stops a command before its end."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.processes import wait_until
from tests.support import MIGRATIONS, ROOT, Database, clean_environment, query, run, script
from tests.tenants import held


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe whose other end nobody has any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


MIGRATE = [("partman", "migrate"), ("piccolo", "migrations", "forwards", "all")]
both = pytest.mark.parametrize("command", MIGRATE, ids=["partman", "piccolo"])


def unheard(database: Database, *command: str, stdout: int) -> tuple[int, str]:
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
def test_control_c_says_what_becomes_of_the_database(
    database: Database, command: tuple[str, ...]
) -> None:
    def waits() -> bool:
        return bool(query(database.url, "SELECT FROM pg_locks WHERE NOT granted"))

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
        _, said = process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}  # a shell says 130 of both
    assert said == (
        "partman: Interrupted. What was not committed is rolled back; how the database stands: "
        "partman status\n"
    )


@both
def test_a_run_whose_output_nobody_reads_says_that_it_was_stopped(
    empty_database: Database, unread: int, command: tuple[str, ...]
) -> None:
    code, said = unheard(empty_database, *command, stdout=unread)
    assert code == (7 if command[0] == "partman" else 1)
    assert "Nobody reads the output any more, and the run was stopped." in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert query(empty_database.url, "SELECT to_regclass('organizations') AS it")[0]["it"] is None


def test_a_reader_that_has_seen_enough_is_no_error_to_tell(database: Database, unread: int) -> None:
    assert unheard(database, "partman", "status", stdout=unread) == (1, "")


def test_without_a_standard_output_only_the_exit_code_tells(database: Database) -> None:
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
    completed = run(*command, environment=ascii_only)
    assert completed.code == 0, completed.output
    assert completed.stdout.count("ok! ") == len(MIGRATIONS)
