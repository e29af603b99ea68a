"""Any number of runners may start at once: each migration is applied once, and all succeed."""

import pytest

from partman.errors import ExitCode
from tests.faults.boundaries import Boundaries, state, whole_state
from tests.faults.processes import Zygote
from tests.faults.sessions import (
    TAKE_THE_MIGRATION_LOCK,
    session,
    wait_for_a_waiting_run,
)
from tests.project import Project
from tests.summary import Record, count
from tests.support import Completed, Database, execute, query

pytestmark = pytest.mark.same_on_every_version

RUNNERS = 20
FORWARDS = ("piccolo", "migrations", "forwards", "all")
RAW = """
async def insert():
    from piccolo.engine import engine_finder

    await engine_finder().run_ddl("INSERT INTO things VALUES ('inserted')")


manager.add_raw(insert)
"""


@pytest.fixture
def gated(project: Project) -> Project:
    """A project whose pending migration has to pass a table that a test can lock."""
    execute(project.database.url, "CREATE TABLE gate (n int)")
    project.write("1", ["INSERT INTO gate VALUES (1)"])
    return project


def test_twenty_runners_on_an_empty_database_apply_each_migration_once(
    zygote: Zygote, boundaries: Boundaries, empty_database: Database, record_property: Record
) -> None:
    _all_at_once(zygote, empty_database.url, empty_database.environment)

    left = whole_state(empty_database.url)
    assert left.ledger == boundaries.last
    assert not boundaries.verdict(left)
    assert left.history == tuple((name, "forwards", "done") for name in boundaries.last)
    count(record_property, runners_at_once=RUNNERS)


def test_twenty_runners_apply_a_data_only_migration_once(
    zygote: Zygote, project: Project, record_property: Record
) -> None:
    project.write("1", ["CREATE TABLE things (name text)"])
    assert zygote.run(*FORWARDS, environment=project.environment).code == 0
    project.write("2", [], more=RAW)

    _all_at_once(zygote, project.database.url, project.environment)

    assert [row["name"] for row in query(project.database.url, "TABLE things")] == ["inserted"]
    assert state(project.database.url).ledger == ("1", "2")
    count(record_property, runners_at_once=RUNNERS)


def _all_at_once(zygote: Zygote, url: str, environment: dict[str, str]) -> list[Completed]:
    """Have all runners wait at the lock, then let go of it."""
    with session(url, TAKE_THE_MIGRATION_LOCK, name="the starter") as starter:
        runners = [zygote.start(*FORWARDS, environment=environment) for _ in range(RUNNERS)]
        for runner in runners:
            runner.wait_for(f"Waiting for another run to finish: pid {starter.pid} (the starter)")
    ended = [runner.wait() for runner in runners]
    assert [runner.code for runner in ended] == [0] * RUNNERS, ended
    return ended


def test_killing_the_lock_holder_frees_the_lock(
    zygote: Zygote, gated: Project, record_property: Record
) -> None:
    url = gated.database.url
    environment = gated.environment | {"PARTMAN_LOCK_TIMEOUT": "0"}
    with session(url, "BEGIN", "LOCK TABLE gate") as gate:
        holder = zygote.start(*FORWARDS, environment=environment)
        held_by = wait_for_a_waiting_run(url)
        heir = zygote.start(*FORWARDS, environment=environment)
        heir.wait_for(f"pid {held_by} (partman forwards extra)")

        holder.kill()
        wait_for_a_waiting_run(url, besides=held_by)  # at the gate, so it has the lock
        gate.execute("COMMIT")

        assert heir.wait().code == 0
        assert holder.wait().code < 0
    assert [row["n"] for row in query(url, "TABLE gate")] == [1]
    count(record_property, kills=1)


def test_a_runner_that_gives_up_names_the_lock_holder(zygote: Zygote, gated: Project) -> None:
    with session(gated.database.url, TAKE_THE_MIGRATION_LOCK, name="deploy 42") as holder:
        gave_up = zygote.run(
            *FORWARDS, environment=gated.environment | {"PARTMAN_LOCK_WAIT": "0.2"}
        )

    assert gave_up.code == ExitCode.LOCKED
    assert f"pid {holder.pid} (deploy 42)" in gave_up.stderr
    assert "PARTMAN_LOCK_WAIT" in gave_up.stderr
    assert state(gated.database.url).bookkeeping == (False, False)


def test_runs_on_two_databases_of_one_server_do_not_wait_for_each_other(
    zygote: Zygote, empty_database: Database, other_database: Database
) -> None:
    with session(other_database.url, TAKE_THE_MIGRATION_LOCK):
        environment = empty_database.environment | {"PARTMAN_LOCK_WAIT": "0"}
        assert zygote.run(*FORWARDS, environment=environment).code == 0


def test_a_run_on_the_same_database_does_wait(zygote: Zygote, empty_database: Database) -> None:
    with session(empty_database.url, TAKE_THE_MIGRATION_LOCK):
        environment = empty_database.environment | {"PARTMAN_LOCK_WAIT": "0"}
        assert zygote.run(*FORWARDS, environment=environment).code == ExitCode.LOCKED
