"""Status and history tell what runs, what was killed and what failed; the next run agrees."""

import json
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from partman.migration.ledger import history, lock
from partman.migration.ledger.running import read_runs
from tests.faults.boundaries import state
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote
from tests.faults.sessions import session, wait_for_a_waiting_run
from tests.project import Project, row_of_a_run
from tests.summary import Record, count
from tests.support import Database, execute, query

pytestmark = pytest.mark.same_on_every_version

FORWARDS = ("piccolo", "migrations", "forwards", "all")
ONLINE = "manager.online()"
COMMIT = b"COMMIT\x00"
ONE_COMMIT = ["CREATE TABLE first ()", "CREATE TABLE second ()"]
STEPS = ["CREATE TABLE first ()", "CREATE INDEX CONCURRENTLY ON big (id)", "CREATE TABLE third ()"]
KILLED = "The run was killed, or lost its connection"


@dataclass(frozen=True)
class Phase:
    """A point of a run at which it is killed, and what is told of it."""

    statements: list[str]
    at_request: tuple[bytes, int]
    said: str
    """How the sentence about the killed run goes on; empty: the migration is done."""
    step: int | None = None
    arrives: bool = False
    more: str = ""
    backwards: bool = False


ROLLED_BACK = ". What it had not committed was rolled back."
PHASES = {
    "in the transaction": Phase(ONE_COMMIT, (b"CREATE TABLE second", 1), ROLLED_BACK),
    "before the commit": Phase(ONE_COMMIT, (COMMIT, 1), ROLLED_BACK),
    "after the commit": Phase(ONE_COMMIT, (COMMIT, 1), "", arrives=True),
    "backwards": Phase(ONE_COMMIT, (b"DROP TABLE first", 1), ROLLED_BACK, backwards=True),
    "without a transaction": Phase(
        ["CREATE TABLE IF NOT EXISTS first ()", "CREATE TABLE second ()"],
        (b"CREATE TABLE second", 1),
        ROLLED_BACK,
        more="manager.wrap_in_transaction = False",
    ),
    "before the first step": Phase(
        STEPS, (b"EXISTS public.migration_step", 1), " before step 1 of 3", 1, more=ONLINE
    ),
    "in the first step": Phase(
        STEPS, (b"CREATE TABLE first", 1), " before step 1 of 3", 1, more=ONLINE
    ),
    "between two steps": Phase(
        STEPS, (COMMIT, 1), " after step 1 of 3", 2, arrives=True, more=ONLINE
    ),
    "in a step that builds": Phase(
        STEPS, (b"CONCURRENTLY ON big", 2), " while step 2 of 3 was running", 2, more=ONLINE
    ),
    "in the last step": Phase(
        STEPS, (b"CREATE TABLE third", 1), " after step 2 of 3", 3, more=ONLINE
    ),
    "after the last step": Phase(
        STEPS, (b'INSERT INTO "migration"', 1), " after step 3 of 3", 3, more=ONLINE
    ),
    "after the last commit": Phase(STEPS, (COMMIT, 3), "", arrives=True, more=ONLINE),
}


@pytest.fixture
def big(project: Project) -> Project:
    execute(project.database.url, "CREATE TABLE big (id int)")
    return project


def facts(project: Project, code: int) -> dict[str, Any]:
    """What status tells scripts of the only migration."""
    ended = project.partman("status", "--json")
    assert ended.code == code, ended.output
    [migration] = json.loads(ended.stdout)["migrations"]
    return dict(migration)


def runs(project: Project, *arguments: str) -> list[dict[str, Any]]:
    ended = project.partman("history", "--json", *arguments)
    assert ended.code == 0, ended.output
    return list(json.loads(ended.stdout))


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_run_is_told_as_the_next_run_records_it(
    zygote: Zygote, big: Project, phase: str, record_property: Record
) -> None:
    at = PHASES[phase]
    big.write("1", at.statements, ["DROP TABLE second", "DROP TABLE first"], at.more)
    command: tuple[str, ...] = FORWARDS
    if at.backwards:
        assert big.forwards().code == 0
        command = ("piccolo", "migrations", "backwards", "extra", "--auto_agree")
    _kill(zygote, big, command, at)
    count(record_property, kills=1)

    if not at.said:
        assert facts(big, code=0)["state"] == "applied"
        assert [run["outcome"] for run in runs(big)] == ["done"]
        return
    told = facts(big, code=0 if at.backwards else 1)
    assert told["state"] == "killed"
    assert told["direction"] == command[2]
    assert told["error"].startswith(KILLED + at.said)
    assert (told["step"], told["steps"]) == (at.step, at.step and 3)
    assert told["failed_at"] is None
    text = big.partman("status").stdout
    assert f"Killed{', backwards' * at.backwards}: 1, begun" in text
    assert f"{told['error']} The next run records this." in text
    assert "killed" in big.partman("history").stdout
    assert runs(big)[-1] | {"started_at": ""} == _row_of(big) | {
        "started_at": "",
        "outcome": "killed",
        "error": told["error"],
    }

    assert zygote.run(*command, environment=big.environment).code == 0
    *_, killed, done = runs(big)
    assert (killed["outcome"], killed["error"]) == ("failed", told["error"])
    assert done["outcome"] == "done"
    assert facts(big, code=at.backwards)["state"] == ("pending" if at.backwards else "applied")


def _kill(zygote: Zygote, project: Project, command: tuple[str, ...], at: Phase) -> None:
    started: Future[Process] = Future()
    with CuttingProxy(
        project.database,
        of_first=True,
        at_request=at.at_request,
        arrives=at.arrives,
        cut=lambda: started.result().kill(),
    ) as proxy:
        environment = project.environment | {"DATABASE_URL": proxy.url}
        started.set_result(zygote.start(*command, environment=environment))
        ended = started.result().wait()
    assert proxy.has_cut.is_set(), ended.output
    state(project.database.url)  # when the server has noticed


def _row_of(project: Project) -> dict[str, Any]:
    [row] = query(project.database.url, "SELECT * FROM migration_history WHERE outcome = 'running'")
    return {key: value for key, value in row.items() if key != "id"}


@pytest.mark.parametrize("more", ["", ONLINE], ids=["in one commit", "online"])
def test_a_run_is_seen_while_another_waits_for_it(zygote: Zygote, big: Project, more: str) -> None:
    big.write("1", ["CREATE TABLE first ()", "ALTER TABLE big ADD COLUMN v int"], more=more)
    url = big.database.url
    environment = big.environment | {"PARTMAN_LOCK_TIMEOUT": "0"}
    with session(url, "BEGIN", "SELECT * FROM big") as blocker:
        first = zygote.start(*FORWARDS, environment=environment)
        wait_for_a_waiting_run(url)
        second = zygote.start(*FORWARDS, environment=environment)
        second.wait_for("Waiting for another run to finish")
        told = facts(big, code=1)
        text = big.partman("status").stdout
        history = big.partman("history").stdout
        blocker.execute("COMMIT")
        ended = [first.wait(), second.wait()]
    assert (told["state"], told["error"], told["failed_at"]) == ("running", None, None)
    assert (told["step"], told["steps"]) == ((2, 2) if more else (None, None))
    assert f"Running: 1, since {told['started_at'][:10]}" in text
    assert (", step 2 of 2." in text) is bool(more)
    assert "running" in history
    assert [each.code for each in ended] == [0, 0], ended
    assert [run["outcome"] for run in runs(big)] == ["done"]
    assert "already complete" in ended[1].stdout


def test_a_killed_run_is_not_taken_for_the_one_that_holds_the_lock(
    zygote: Zygote, big: Project
) -> None:
    at = PHASES["in the transaction"]
    big.write("1", at.statements)
    _kill(zygote, big, FORWARDS, at)
    lock = "SELECT pg_advisory_lock((1885434484::bigint << 32) | oid::bigint) FROM pg_database"
    with session(big.database.url, f"{lock} WHERE datname = current_database()"):
        assert facts(big, code=1)["state"] == "killed"
        assert json.loads(big.partman("status", "--json").stdout)["run_under_way"]


async def test_a_run_that_ends_while_it_is_asked_for_was_not_killed(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(empty_database.url)
    await connection.execute(f"{history.TABLE} {row_of_a_run('1', None)}")

    async def end_it(asked: "asyncpg.Connection[asyncpg.Record]") -> None:
        await asked.execute(
            "UPDATE migration_history SET outcome = 'done', duration = '1 s'"
            " WHERE outcome = 'running'"
        )

    monkeypatch.setattr(lock, "run_under_way", end_it)
    found = await read_runs(connection)
    await connection.close()
    assert [entry.outcome for entry in found.entries] == ["done"]


@pytest.mark.parametrize("more", ["", ONLINE], ids=["in one commit", "online"])
def test_a_failed_migration_is_told_with_when_and_why(big: Project, more: str) -> None:
    big.write("1", ["CREATE TABLE first ()", f"SELECT 1 / 0 AS {'x' * 60}"], more=more)
    assert big.forwards().code == 7
    told = facts(big, code=1)
    [run] = runs(big)
    assert told["state"] == ("interrupted" if more else "failed")
    assert told["error"] == run["error"]
    assert run["started_at"] <= told["failed_at"]
    assert (told["step"], told["steps"]) == ((2, 2) if more else (None, None))
    text = big.partman("status").stdout
    assert f"Failed: 1, {told['failed_at'][:19]} UTC: DivisionByZeroError: division" in text
    assert "(all of it: partman history)" in text
    assert ("after step 1 of 2" in text) is bool(more)
    if not more:
        big.write("1", ["CREATE TABLE first ()"])
        assert big.forwards().code == 0
        assert facts(big, code=0) | {"applied_at": 0} == told | {
            "applied_at": 0,
            "state": "applied",
            "direction": None,
            "started_at": None,
            "failed_at": None,
            "error": None,
        }


def test_the_same_failure_again_and_again_is_one_line(big: Project) -> None:
    big.write("1", ["SELECT 1 / 0"])
    big.write("2", ["UPDATE big SET id = 2", "DELETE FROM big WHERE id = 2"])
    execute(big.database.url, "INSERT INTO big VALUES (1), (2), (3)")
    for _ in range(3):
        assert big.forwards(PARTMAN_REVISION=f"{'0123456789' * 4}-dirty").code == 7
    times = [run["started_at"][:19] for run in runs(big)]
    text = big.partman("history").stdout
    assert text.count("DivisionByZeroError") == 1
    assert f"1, failed 3 times since {times[0]}, last {times[-1]}: DivisionByZero" in text
    assert "0123456789ab"[:10] + "01-dirty" in text

    big.write("1", ["SELECT 1"])
    assert big.forwards(PARTMAN_ALLOW_DATA_LOSS="2").code == 0
    text = big.partman("history").stdout
    assert len([line for line in text.splitlines() if line.endswith("-")]) == 2, text
    changes = runs(big)[-1]["changes"]
    assert "updated" in changes
    assert "deleted" in changes
    assert f"2: {changes}" in text

    newest = big.partman("history", "--limit", "2").stdout
    assert "DivisionByZeroError" not in newest
    assert "3 older runs not shown: partman history --limit 0" in newest
    assert len(runs(big, "--limit", "2")) == 2
    assert runs(big, "--limit", "0") == runs(big)
    assert len(runs(big)) == 5
    assert "not shown" not in big.partman("history", "--limit", "3").stdout
    assert big.partman("history", "--limit", "-1").code == 2


def test_a_history_of_the_form_before_there_were_running_rows_is_read(big: Project) -> None:
    big.write("1", ["CREATE TABLE first ()"])
    assert big.forwards().code == 0
    url = big.database.url
    execute(url, "ALTER TABLE migration_history DROP COLUMN steps, DROP COLUMN changes")
    assert [run["outcome"] for run in runs(big)] == ["done"]
    assert "CREATE" not in big.partman("history").stdout
    assert facts(big, code=0)["state"] == "applied"


def test_twenty_lines_are_shown_unless_more_are_wanted(big: Project) -> None:
    big.write("1", ["CREATE TABLE first ()"])
    assert big.forwards().code == 0
    execute(
        big.database.url,
        "INSERT INTO migration_history (app, migration, direction, outcome, started_at, duration,"
        " os_user, host, partman_version, piccolo_version)"
        " SELECT 'extra', 'old ' || n, 'forwards', 'done', now(), '1 s', '', '', '', ''"
        " FROM generate_series(1, 24) n",
    )
    text = big.partman("history").stdout
    assert [line.split("  ")[1] for line in text.splitlines()[3:23]] == [
        f"old {number}" for number in range(5, 25)
    ]
    assert "5 older runs not shown" in text
    assert len(runs(big)) == 25
