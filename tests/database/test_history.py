"""What ran is written down, and stays so."""

import getpass
import json
import platform
import subprocess

import asyncpg
import pytest

from tests.project import Project
from tests.support import execute, query

pytestmark = pytest.mark.same_on_every_version

FORWARDS = ["CREATE TABLE one (id int)"]
BACKWARDS = ["DROP TABLE one"]


def entries(project: Project) -> list[tuple[str, str, str]]:
    rows = query(
        project.database.url,
        "SELECT migration, direction, outcome FROM migration_history ORDER BY id",
    )
    return [tuple(row) for row in rows]


def test_says_who_did_what_when_and_from_where(project: Project) -> None:
    project.write("2026-01-01", FORWARDS, BACKWARDS)
    assert project.forwards(PARTMAN_REVISION="abc123").code == 0
    assert project.backwards().code == 0
    completed = project.partman("history", "--json")
    assert completed.code == 0, completed.output
    there, back = json.loads(completed.stdout)
    assert (there["app"], there["migration"]) == ("extra", "2026-01-01")
    assert (there["direction"], back["direction"]) == ("forwards", "backwards")
    assert there["outcome"] == back["outcome"] == "done"
    assert there["revision"] == "abc123"
    assert there["os_user"] == getpass.getuser()
    assert there["host"] == platform.node()
    assert there["role"]
    assert there["piccolo_version"].startswith("1.")
    assert 0 < there["duration"] < 60
    assert len(there["checksum"]) == 16
    assert there["checksum"] == back["checksum"]
    text = project.partman("history").stdout
    assert "2026-01-01" in text
    assert "backwards" in text


def test_the_revision_is_the_repositorys(project: Project) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project.folder), "-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.check_output([*command, *arguments], text=True).strip()

    file = project.write("2026-01-01", FORWARDS, BACKWARDS)
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "One")
    assert project.forwards().code == 0
    file.write_text(f"{file.read_text()}# a remark\n")
    assert project.backwards().code == 0
    revision = git("rev-parse", "HEAD")
    rows = query(project.database.url, "SELECT revision FROM migration_history ORDER BY id")
    assert [row["revision"] for row in rows] == [revision, f"{revision}-dirty"]


def test_a_failed_run_is_recorded_although_it_was_rolled_back(project: Project) -> None:
    project.write("2026-01-01", [*FORWARDS, "SELECT 1 / 0"])
    completed = project.forwards()
    assert completed.code == 7
    assert "division by zero" in completed.stderr
    assert "The statement: SELECT 1 / 0" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert entries(project) == [("2026-01-01", "forwards", "failed")]
    assert "division by zero" in project.partman("history").stdout
    assert query(project.database.url, "SELECT FROM pg_class WHERE relname = 'one'") == []


def test_an_error_in_python_is_recorded_too(project: Project) -> None:
    project.write(
        "2026-01-01",
        FORWARDS,
        more="""
        def fail():
            raise KeyError("no such partner")
        manager.add_raw(fail)
        """,
    )
    assert project.forwards().code == 7
    [row] = query(project.database.url, "SELECT outcome, error FROM migration_history")
    assert tuple(row) == ("failed", "KeyError: 'no such partner'")
    assert query(project.database.url, "SELECT * FROM migration") == []


def test_a_faked_migration_shows_as_faked(project: Project) -> None:
    project.write("2026-01-01", FORWARDS, BACKWARDS)
    assert project.piccolo("forwards", "extra", "--fake").code == 0
    assert entries(project) == [("2026-01-01", "faked", "done")]
    assert query(project.database.url, "SELECT FROM pg_class WHERE relname = 'one'") == []


def test_a_migration_without_a_transaction_shows_as_run(project: Project) -> None:
    project.write("2026-01-01", FORWARDS, BACKWARDS, more="manager.wrap_in_transaction = False")
    assert project.forwards().code == 0
    assert project.backwards().code == 0
    assert entries(project) == [
        ("2026-01-01", "forwards", "done"),
        ("2026-01-01", "backwards", "done"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE migration_history SET outcome = 'failed'",
        "DELETE FROM migration_history",
        "TRUNCATE migration_history",
    ],
)
def test_cannot_be_rewritten(project: Project, change: str) -> None:
    project.write("2026-01-01", FORWARDS)
    assert project.forwards().code == 0
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        execute(project.database.url, change)


def test_an_empty_history_is_no_error(project: Project) -> None:
    completed = project.partman("history")
    assert completed.code == 0
    assert "No migration has been run" in completed.stdout
    assert query(project.database.url, "SELECT FROM pg_class WHERE relname ~ '^migration'") == []
