"""A migration waits for locks up to its timeout, names the blocker, and leaves no lock behind."""

import pytest

from partman.errors import ExitCode
from tests.faults.boundaries import state, whole_state
from tests.faults.processes import Zygote, wait_until
from tests.faults.sessions import activity, is_connected, session
from tests.project import Project
from tests.summary import Record, count
from tests.support import execute

FORWARDS = ("piccolo", "migrations", "forwards", "all")
READER = ("BEGIN", "SELECT * FROM busy")


@pytest.fixture
def busy(project: Project) -> Project:
    """A project that is about to change a table."""
    execute(project.database.url, "CREATE TABLE busy (n int)")
    project.write("1", ["CREATE TABLE before ()", "ALTER TABLE busy ADD COLUMN added int"])
    return project


def test_a_blocked_migration_rolls_back_and_names_the_blocker(
    zygote: Zygote, busy: Project
) -> None:
    url = busy.database.url
    with session(url, *READER, name="nightly report") as reader:
        environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "2"}
        blocked = zygote.run(*FORWARDS, environment=environment)

    assert blocked.code == ExitCode.TRY_AGAIN
    assert f"In the way: pid {reader.pid} (nightly report), user " in blocked.stderr
    assert "last statement: SELECT * FROM busy" in blocked.stderr
    assert "Run the migrations again later" in blocked.stderr
    left = whole_state(url)
    assert left.ledger == ()
    assert left.history == (("1", "forwards", "failed"),)
    assert "before" not in dict(left.contents.rows)


def test_partman_migrate_retries_until_the_blocker_is_gone(zygote: Zygote, busy: Project) -> None:
    environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "0.2"}
    with session(busy.database.url, *READER) as reader:
        run = zygote.start("partman", "migrate", environment=environment)
        run.wait_for("Retrying in")
        reader.execute("COMMIT")
        ended = run.wait()

    assert ended.code == 0, ended.output
    assert "1 migration applied" in ended.stdout
    assert state(busy.database.url).ledger == ("1",)


def test_a_statement_that_takes_too_long_is_ended(zygote: Zygote, project: Project) -> None:
    project.write("1", ["CREATE TABLE before ()", "SELECT pg_sleep(600)"])

    ended = zygote.run(
        *FORWARDS, environment=project.environment | {"PARTMAN_STATEMENT_TIMEOUT": "0.2"}
    )

    assert ended.code == ExitCode.MIGRATION
    assert "statement timeout" in ended.stderr
    assert "SELECT pg_sleep(600)" in ended.stderr
    assert not whole_state(project.database.url).contents.rows


def test_the_statement_of_a_killed_run_ends_and_frees_its_locks(
    zygote: Zygote, project: Project, record_property: Record
) -> None:
    """Without client_connection_check_interval, the server would go on for ten minutes."""
    url = project.database.url
    execute(url, "CREATE TABLE busy (n int)")
    project.write("1", ["ALTER TABLE busy ADD COLUMN added int", "SELECT pg_sleep(600)"])
    run = zygote.start(*FORWARDS, environment=project.environment)
    [sleeping] = wait_until(
        lambda: activity(url, "wait_event = 'PgSleep'"), "the run was in its statement"
    )

    run.kill()
    wait_until(lambda: not is_connected(url, sleeping), "the server had ended the statement")

    run.wait()
    execute(url, "BEGIN; LOCK TABLE busy NOWAIT; COMMIT")
    count(record_property, kills=1)
