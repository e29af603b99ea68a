"""Where the output goes, and who stops a command before its end."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.proxy import Proxy
from tests.support import MIGRATIONS, ROOT, Database, clean_environment, query, run, script


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe whose other end nobody has any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def partman(database: Database, *arguments: str, stdout: int) -> tuple[int, str]:
    process = subprocess.run(
        [script("partman"), *arguments],
        env=clean_environment(**database.environment),
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return process.returncode, process.stderr


def test_control_c_says_what_becomes_of_the_database(empty_database: Database) -> None:
    with Proxy(empty_database) as proxy:
        process = subprocess.Popen(
            [script("partman"), "migrate"],
            env=clean_environment(DATABASE_URL=proxy.url, PARTMAN_ENV="development"),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert "Waiting" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == (
        "partman: Interrupted. What was not committed is rolled back; how the database stands: "
        "partman status\n"
    )


def test_a_run_whose_output_nobody_reads_says_that_it_was_stopped(
    empty_database: Database, unread: int
) -> None:
    code, said = partman(empty_database, "migrate", stdout=unread)
    assert code == 7
    assert "Nobody reads the output any more, and the run was stopped." in said
    assert "Traceback" not in said
    assert query(empty_database.url, "SELECT to_regclass('organizations') AS it")[0]["it"] is None


def test_a_reader_that_has_seen_enough_is_no_error_to_tell(database: Database, unread: int) -> None:
    assert partman(database, "status", stdout=unread) == (1, "")


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


def test_a_terminal_without_unicode_does_not_stop_a_run(empty_database: Database) -> None:
    completed = run(
        "partman",
        "migrate",
        environment=empty_database.environment | {"PYTHONIOENCODING": "ascii"},
    )
    assert completed.code == 0, completed.output
    assert f"{len(MIGRATIONS)} migrations applied" in completed.stdout
