"""What cannot run in a transaction is done, undone or told, in any spelling."""

import itertools
from collections.abc import Callable, Sequence

import pytest

from tests.faults.boundaries import state
from tests.faults.processes import Zygote, wait_until
from tests.faults.sessions import session, wait_for_a_waiting_run, waiting
from tests.project import Project
from tests.summary import Record, count, some_on_every_version
from tests.support import execute, query

FORWARDS = ("piccolo", "migrations", "forwards", "all")
ONLINE = "manager.online()"
OLD_TRANSACTION = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM pg_class")

_BEFORE = ["", "-- one row each\n", "/* one; /* row */ each */ ", "\n\t"]
_EXISTS = ["", "IF NOT EXISTS "]
_NAMES = ["big_id_{}", '"big id {}"', '"größe {}; -- \U0001f418"', ""]
_TABLES = ["big_{}", "public.big_{}", "ONLY big_{}", '"schéma {}"."big ""table"""']
_AFTER = ["", ";", " -- end\n", "\n;\n"]


def _spellings() -> dict[str, tuple[str, str]]:
    """Each part at least with each of two others: (the statement, the table)."""
    found = {}
    for number, (exists, name, table) in enumerate(itertools.product(_EXISTS, _NAMES, _TABLES)):
        if exists and not name:
            continue  # PostgreSQL wants a name there
        text = (
            f"{_BEFORE[number % 4]}CREATE UNIQUE INDEX{' ' if number % 3 else chr(10)}CONCURRENTLY "
            f"{exists}{name} ON {table} (id){_AFTER[number // 2 % 4]}"
        ).replace("{}", str(number))
        text = text.lower() if number % 5 == 0 else text
        table_ = table.replace("{}", str(number)).removeprefix("ONLY ")
        found[f"{number}: {' '.join(text.split())}"] = (text, table_)
    return found


SPELLINGS = _spellings()
NAMED = [each for each in SPELLINGS if "concurrently on" not in each.lower()]
PARTS_OF_THE_SPELLINGS = 5


def make_tables(project: Project, spellings: Sequence[str]) -> None:
    """Make the tables of these spellings, with rows that no unique index allows."""
    for number, table in ((each.partition(":")[0], SPELLINGS[each][1]) for each in spellings):
        execute(
            project.database.url,
            f'CREATE SCHEMA "schéma {number}"',
            f"CREATE TABLE {table} (id int, part int)",
            f"INSERT INTO {table} VALUES (1, 1), (1, 2), (2, 3)",
        )


def mend(project: Project, spelling: str) -> None:
    """Remove the row that no unique index allows."""
    execute(project.database.url, f"DELETE FROM {SPELLINGS[spelling][1]} WHERE part = 1")


def indexes(url: str) -> list[bool]:
    """Whether the indexes of the tables are valid."""
    rows = query(
        url,
        "SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indrelid WHERE relname LIKE 'big%'"
        " ORDER BY indexrelid",
    )
    return [row["indisvalid"] for row in rows]


@pytest.mark.parametrize("part", some_on_every_version(range(PARTS_OF_THE_SPELLINGS), 5))
def test_a_failed_build_leaves_nothing_and_succeeds_once_the_rows_are_mended(
    project: Project, part: int
) -> None:
    """Each run succeeds with the spelling at which the one before failed, and fails at the next."""
    url = project.database.url
    spellings = [*SPELLINGS][part::PARTS_OF_THE_SPELLINGS]
    make_tables(project, spellings)
    for number, spelling in enumerate(spellings):
        project.write(
            str(number), [f"CREATE TABLE first_{number} ()", SPELLINGS[spelling][0]], more=ONLINE
        )
    for number, spelling in enumerate(spellings):
        failed = project.forwards()
        assert failed.code == 7, failed.output
        assert "Step 2 was undone, nothing of it is left" in failed.stderr
        assert indexes(url) == [True] * number, spelling
        assert state(url).ledger == tuple(map(str, range(number))), spelling
        mend(project, spelling)
    last = project.forwards()
    assert last.code == 0, last.output
    assert indexes(url) == [True] * len(spellings)
    assert state(url).ledger == tuple(map(str, range(len(spellings))))


def test_an_invalid_index_of_the_name_is_built_anew(project: Project) -> None:
    url = project.database.url
    spellings = NAMED[::4]
    make_tables(project, spellings)
    for number, spelling in enumerate(spellings):
        with pytest.raises(Exception, match="could not create unique index"):
            execute(url, SPELLINGS[spelling][0])
        mend(project, spelling)
        project.write(str(number), [SPELLINGS[spelling][0]], more=ONLINE)
    assert indexes(url) == [False] * len(spellings)
    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert indexes(url) == [True] * len(spellings)


@pytest.mark.parametrize("spelling", [*SPELLINGS][2::9])
def test_a_killed_build_is_finished_by_the_next_run(
    zygote: Zygote, project: Project, spelling: str, record_property: Record
) -> None:
    url = project.database.url
    make_tables(project, [spelling])
    mend(project, spelling)
    project.write("1", [SPELLINGS[spelling][0]], more=ONLINE)
    with session(url, *OLD_TRANSACTION):
        run = zygote.start(*FORWARDS, environment=project.environment)
        wait_until(lambda: indexes(url) == [False], "the index was being built")
        wait_for_a_waiting_run(url)
        run.kill()
        run.wait()
        wait_until(lambda: not waiting(url), "the server had noticed")
    assert indexes(url) == [False]
    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert indexes(url) == [True]
    errors = query(url, "SELECT outcome, error FROM migration_history ORDER BY id")
    assert [row["outcome"] for row in errors] == ["failed", "done"]
    assert "while step 1 of 1 was running" in errors[0]["error"]
    count(record_property, kills=1)


def _cancel(url: str, while_true: Callable[[], bool]) -> None:
    wait_until(while_true, "the statement was half done")
    pid = wait_for_a_waiting_run(url)
    assert query(url, f"SELECT pg_cancel_backend({pid})")[0][0]


def test_a_cancelled_reindex_leaves_nothing(zygote: Zygote, project: Project) -> None:
    url = project.database.url
    execute(url, "CREATE TABLE big (part int)", "CREATE INDEX here ON big (part)")
    project.write("1", ["-- anew\nREINDEX (VERBOSE) TABLE CONCURRENTLY big"], more=ONLINE)
    with session(url, *OLD_TRANSACTION):
        run = zygote.start(*FORWARDS, environment=project.environment)
        _cancel(url, lambda: indexes(url) == [True, False])
        ended = run.wait()
    assert ended.code == 7, ended.output
    assert "Step 1 was undone, nothing of it is left" in ended.stderr
    assert indexes(url) == [True]
    assert project.forwards().code == 0
    assert indexes(url) == [True]


PARTS = (
    "CREATE TABLE whole (id int) PARTITION BY RANGE (id)",
    'CREATE TABLE "part 1" PARTITION OF whole FOR VALUES FROM (1) TO (10)',
    "INSERT INTO whole VALUES (1)",
)
DETACH = '/* off */ ALTER TABLE whole DETACH PARTITION public."part 1" CONCURRENTLY;'


def _detached(url: str) -> bool | None:
    rows = query(url, "SELECT inhdetachpending FROM pg_inherits JOIN pg_class ON oid = inhrelid"
                      " WHERE relname = 'part 1'")  # fmt: skip
    return not rows if not rows or not rows[0][0] else None


def test_a_cancelled_detach_is_finished(zygote: Zygote, project: Project) -> None:
    url = project.database.url
    execute(url, *PARTS)
    project.write("1", [DETACH], more=ONLINE)
    with session(url, "BEGIN", "SELECT * FROM whole") as reader:
        run = zygote.start(*FORWARDS, environment=project.environment)
        _cancel(url, lambda: _detached(url) is None)
        reader.execute("COMMIT")
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert "was interrupted; finished" in ended.stdout
    assert _detached(url) is True
    assert query(url, 'SELECT count(*) FROM "part 1"')[0][0] == 1


def test_a_detach_that_cannot_be_finished_is_told_and_finished_by_the_next_run(
    zygote: Zygote, project: Project
) -> None:
    url = project.database.url
    execute(url, *PARTS)
    project.write("1", [DETACH], more=ONLINE)
    with session(url, "BEGIN", "SELECT * FROM whole"):
        run = zygote.start(*FORWARDS, environment=project.environment)
        _cancel(url, lambda: _detached(url) is None)
        ended = run.wait()
        assert ended.code == 7, ended.output
        assert 'ALTER TABLE whole DETACH PARTITION "part 1" FINALIZE;' in ended.stderr
    assert _detached(url) is None
    again = project.forwards()
    assert again.code == 0, again.output
    assert _detached(url) is True


def test_a_partition_that_was_left_half_detached_is_finished(project: Project) -> None:
    url = project.database.url
    execute(url, *PARTS)
    with (
        session(url, "BEGIN", "SELECT * FROM whole"),
        pytest.raises(Exception, match="timeout"),
    ):
        execute(url, "SET lock_timeout = '100ms'; SET statement_timeout = '100ms'", DETACH)
    assert _detached(url) is None
    project.write("1", [DETACH], more=ONLINE)
    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert "was half detached; finished" in ended.stdout
    assert _detached(url) is True


def test_dropping_an_index_that_is_missing_fails_each_time(project: Project) -> None:
    """It left nothing to be finished, so the next run does not take it for done."""
    project.write("1", ["DROP INDEX CONCURRENTLY missing"], more="manager.online()")
    for _ in range(2):
        ended = project.forwards()
        assert ended.code == 7, ended.output
        assert "Step 1 was undone, nothing of it is left." in ended.stderr
        assert not state(project.database.url).is_interrupted
