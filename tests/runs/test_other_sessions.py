"""What other sessions do at the moment is tried again, and nobody waits for a run in vain."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.boundaries import state
from tests.faults.processes import Zygote, wait_until
from tests.faults.sessions import activity, session, wait_for_a_waiting_run
from tests.project import Project
from tests.support import Completed, execute, query

pytestmark = pytest.mark.same_on_every_version

GATED = ["UPDATE a SET n = n + 1", "SELECT pg_advisory_xact_lock(7)", "UPDATE b SET n = n + 1"]


@pytest.fixture
def busy(project: Project) -> Project:
    execute(
        project.database.url,
        "CREATE TABLE a AS SELECT 0 AS n",
        "CREATE TABLE b AS SELECT 0 AS n",
    )
    return project


def _deadlocked(zygote: Zygote, busy: Project, *command: str) -> Completed:
    """Run a command whose migration becomes the victim of a deadlock, in its first attempt.

    The victim is the session that looks for deadlocks last, a second after it began to wait.
    """
    url = busy.database.url
    environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "30"}
    with (
        session(url, "SELECT pg_advisory_lock(7)") as gate,
        session(url, "BEGIN", "UPDATE b SET n = n + 10") as other,
        ThreadPoolExecutor() as threads,
    ):
        run = zygote.start(*command, environment=environment)
        wait_for_a_waiting_run(url)
        waits = threads.submit(other.execute, "UPDATE a SET n = n + 10")
        looked = f"pid = {other.pid} AND wait_event_type = 'Lock'"
        looked += " AND now() - query_start > '1500 ms'"
        wait_until(lambda: activity(url, looked), "the other session had looked for a deadlock")
        gate.execute("SELECT pg_advisory_unlock(7)")
        waits.result()
        other.execute("COMMIT")
        return run.wait()


def test_a_deadlock_is_tried_again(zygote: Zygote, busy: Project) -> None:
    busy.write("1", GATED)
    ended = _deadlocked(zygote, busy, "partman", "migrate")
    assert ended.code == 0, ended.output
    url = busy.database.url
    assert [query(url, f"SELECT n FROM {table}")[0][0] for table in "ab"] == [11, 11]
    assert state(url).ledger == ("1",)
    assert "a deadlock" in ended.stderr
    assert "Retrying in" in ended.stderr
    assert "Run the migrations again" not in ended.stderr


def test_a_serialization_failure_is_tried_again(zygote: Zygote, busy: Project) -> None:
    url = busy.database.url
    busy.write(
        "1",
        [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT n FROM a",
            "UPDATE a SET n = n + 1",
        ],
    )
    environment = busy.environment | {"PARTMAN_LOCK_TIMEOUT": "30"}
    with session(url, "BEGIN", "UPDATE a SET n = n + 10") as other:
        run = zygote.start("partman", "migrate", environment=environment)
        wait_for_a_waiting_run(url)
        other.execute("COMMIT")
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert "a serialization failure" in ended.stderr
    assert query(url, "SELECT n FROM a")[0][0] == 11


def test_stock_piccolo_ends_with_the_code_for_trying_again(zygote: Zygote, busy: Project) -> None:
    busy.write("1", GATED)
    ended = _deadlocked(zygote, busy, "piccolo", "migrations", "forwards", "all")
    assert ended.code == 8, ended.output
    assert "rolled back" in ended.stderr
    assert "Run the migrations again later." in ended.stderr
