"""``partman server``, as it is typed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers import temporary_directory
from tests.support import Completed, run

pytestmark = pytest.mark.same_on_every_version

ELSEWHERE = {"DATABASE_URL": "postgresql://somebody:secret@db.invalid/production"}


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as folder:
        yield folder


def _server(
    directory: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Completed:
    data = {"PARTMAN_DATA_DIR": str(directory)}
    return run("partman", "server", *arguments, environment=data | dict(environment or {}))


def test_the_server_from_its_first_start_to_its_stop(directory: Path) -> None:
    before = _server(directory, "status")
    assert (before.code, "not running (never started)" in before.stdout) == (1, True)
    unlogged = _server(directory, "logs")
    assert (unlogged.code, "it was never started" in unlogged.stdout) == (1, True)
    nothing = _server(directory, "stop")
    assert (nothing.code, "not running" in nothing.stdout) == (0, True)
    assert list(directory.iterdir()) == []  # asking has started nothing

    started = _server(directory, "start")
    assert (started.code, "is running: PostgreSQL" in started.stdout) == (0, True)
    url = _server(directory, "url")
    status = _server(directory, "status", "--json")
    facts = json.loads(status.stdout)
    assert (status.code, facts["running"], facts["in_use"]) == (0, True, True)
    assert url.stdout == facts["url"] + "\n"
    assert url.stderr == ""

    # Options are psql's own, and the superuser is there for who asks for it.
    asked = _server(directory, "psql", "-AXt", "-c", "SELECT current_user, current_database()")
    assert asked.stdout == "partman|partman\n"
    superuser = _server(
        directory, "psql", "postgres", "-U", "postgres", "-c", "SELECT session_user"
    )
    assert "postgres" in superuser.stdout

    logged = _server(directory, "logs", "--lines", "0")
    assert "database system is ready to accept connections" in logged.stdout
    assert _server(directory, "logs", "-n", "1").stdout == logged.stdout.splitlines(True)[-1]

    stopped = _server(directory, "stop")
    assert (stopped.code, "was stopped" in stopped.stdout) == (0, True)
    after = _server(directory, "status", "--json")
    assert (after.code, json.loads(after.stdout)["running"]) == (1, False)


def test_with_a_database_url_it_is_reported_as_unused(directory: Path) -> None:
    status = _server(directory, "status", environment=ELSEWHERE)
    facts = _server(directory, "status", "--json", environment=ELSEWHERE)
    url = _server(directory, "url", environment=ELSEWHERE)

    assert "DATABASE_URL is set" in status.stdout
    assert json.loads(facts.stdout)["in_use"] is False
    assert str(directory.name) in url.stdout
    assert "DATABASE_URL is set" in url.stderr
    assert "secret" not in status.output + facts.output + url.output


def test_a_refusal_is_one_line_and_its_exit_code(directory: Path) -> None:
    (directory / "file").touch()

    refused = _server(directory / "file", "start")

    assert refused.code == 4
    assert refused.stderr.startswith("partman: The embedded server")
    assert refused.stderr.count("\n") == 1
