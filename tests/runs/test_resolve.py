"""`partman resolve` records what was done by hand, and nothing else."""

import pytest

from tests.faults.boundaries import observing, state, whole_state
from tests.faults.sessions import session
from tests.project import Project
from tests.support import Completed, execute, query

pytestmark = pytest.mark.same_on_every_version

NOTE = "SELECT direction, changes FROM migration_history ORDER BY id DESC LIMIT 1"


def resolve(project: Project, *arguments: str, code: int = 0) -> Completed:
    ended = project.partman("resolve", *arguments)
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output
    return ended


def interrupted(project: Project, *, backwards: bool = False) -> None:
    """Leave an online migration after its first step."""
    project.write(
        "1",
        ["CREATE TABLE t ()", "CREATE TABLE taken ()"],
        ["DROP TABLE missing", "DROP TABLE IF EXISTS t"],
        "manager.online()",
    )
    execute(project.database.url, "CREATE TABLE taken ()")
    assert project.forwards().code == 7
    assert state(project.database.url).is_interrupted


def test_an_interrupted_migration_that_was_finished_by_hand(project: Project) -> None:
    interrupted(project)
    said = resolve(project, "--applied", "1").stdout
    assert said.splitlines() == [
        "1 of extra is recorded as applied. 1 record of its steps removed.",
        "Nothing of it was run. Compare the database: partman drift",
    ]
    now = whole_state(project.database.url)
    assert (now.ledger, now.is_interrupted) == (("1",), False)
    assert now.history[-1] == ("1", "faked", "done")
    note = query(project.database.url, NOTE)[0]
    assert note["changes"] == "recorded as applied by hand, not run"
    assert "recorded as applied by hand" in project.partman("history").stdout
    assert project.partman("status").code == 0
    again = resolve(project, "--applied", "1", code=1)
    assert "is recorded as applied already. Nothing was recorded." in again.stderr
    assert whole_state(project.database.url) == now


def test_an_interrupted_migration_that_was_undone_by_hand(project: Project) -> None:
    interrupted(project)
    execute(project.database.url, "DROP TABLE t", "DROP TABLE taken")
    said = resolve(project, "--rolled-back", "1").stdout
    assert said.startswith("1 of extra is recorded as rolled back. 1 record")
    assert not state(project.database.url).is_interrupted
    assert query(project.database.url, NOTE)[0]["direction"] == "backwards"
    assert project.forwards().code == 0
    assert state(project.database.url).ledger == ("1",)


def test_an_applied_migration_that_was_reverted_by_hand(project: Project) -> None:
    project.write("1", ["CREATE TABLE t ()"])
    assert project.forwards().code == 0
    execute(project.database.url, "DROP TABLE t")
    resolve(project, "--rolled-back", "1")
    status = project.partman("status")
    assert (status.code, "pending" in status.stdout) == (1, True)
    assert project.forwards().code == 0


def test_one_without_a_file_can_be_rolled_back(project: Project) -> None:
    file = project.write("1", ["CREATE TABLE t ()"])
    assert project.forwards().code == 0
    file.unlink()
    resolve(project, "--rolled-back", "1")
    assert state(project.database.url).ledger == ()


def test_a_database_without_bookkeeping(project: Project) -> None:
    project.write("1", ["CREATE TABLE t ()"])
    execute(project.database.url, "CREATE TABLE t ()")
    resolve(project, "--applied", "1")
    assert project.partman("status").code == 0
    assert project.partman("drift").code == 0


MISTAKES: list[tuple[tuple[str, ...], int, str]] = [
    (("--applied", "2"), 1, "There is no migration 2. Nothing was recorded."),
    (("--rolled-back", "1"), 1, "1 of extra is recorded as not applied already."),
    (("--applied", "1", "--app", "shop"), 1, "There is no migration 1 of shop"),
    ((), 2, "Name one migration"),
    (("--applied", "1", "--rolled-back", "1"), 2, "Name one migration"),
]


def test_a_mistake_records_nothing(project: Project) -> None:
    project.write("1", ["CREATE TABLE t ()"])
    with observing(project.database.url) as observed:
        before = observed()
        for arguments, code, expected in MISTAKES:
            assert expected in resolve(project, *arguments, code=code).stderr
            assert observed() == before, arguments


def test_it_waits_for_the_migration_lock(project: Project) -> None:
    project.write("1", ["CREATE TABLE t ()"])
    execute(project.database.url, "CREATE TABLE t ()")
    key = "((1885434484::bigint << 32) | (SELECT oid FROM pg_database"
    lock = f"SELECT pg_advisory_lock({key} WHERE datname = current_database())::bigint))"
    with session(project.database.url, lock):
        ended = project.partman("resolve", "--applied", "1", PARTMAN_LOCK_WAIT="0")
    assert ended.code == 9, ended.output
    assert state(project.database.url).ledger == ()
