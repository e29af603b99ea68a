"""What became of a migration is asked of the server, and told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from partman.database import bookkeeping
from tests.faults.boundaries import WholeState, observing, state
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import execute, query, temporary_database

pytestmark = pytest.mark.same_on_every_version

ENDINGS = ["COMMIT", "ROLLBACK", "END", "ABORT", "BEGIN", "START TRANSACTION", "COMMIT AND CHAIN",
           "-- now\nCOMMIT WORK", "/* a */ ROLLBACK;", "PREPARE TRANSACTION 'x'"]  # fmt: skip
MODES = {"in a transaction": "", "online": "manager.online()",
         "alone": "manager.wrap_in_transaction = False"}  # fmt: skip


@dataclass(frozen=True)
class Failing:
    """A project for migrations that fail: they leave nothing but a row of history each."""

    project: Project
    state: Callable[[], WholeState]


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Failing]:
    with temporary_database() as database, observing(database.url) as state:
        yield Failing(Project.create(tmp_path_factory.mktemp("failing"), database, zygote), state)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_migration_that_ends_its_transaction_is_refused(
    failing: Failing, ending: str, mode: str
) -> None:
    sql = f"CREATE TABLE t (); {ending}; CREATE TABLE u ()"
    failing.project.write("1", [sql], more=MODES[mode])
    before = failing.state()
    ended = failing.project.forwards()
    assert ended.code == 7, ended.output
    assert "ends its transaction itself" in ended.stderr
    after = failing.state()
    assert after.ledger == ()
    assert after.history == (*before.history, ("1", "forwards", "failed"))
    before_and_bookkeeping = {*dict(before.contents.rows), *bookkeeping.TABLES}
    assert {*dict(after.contents.rows)} <= before_and_bookkeeping


def test_the_committed_statements_of_one_without_a_transaction_are_told(project: Project) -> None:
    project.write(
        "1",
        ["CREATE TABLE one ()", "CREATE TABLE two ()", "SELECT 1 / 0", "CREATE TABLE three ()"],
        more="manager.wrap_in_transaction = False",
    )
    ended = project.forwards()
    assert ended.code == 7, ended.output
    assert "division by zero" in ended.stderr
    assert "2 statements before it are committed and stay" in ended.stderr
    assert "not recorded as applied" in ended.stderr
    tables = "SELECT relname FROM pg_class WHERE relname IN ('one', 'two', 'three') ORDER BY 1"
    assert [row[0] for row in query(project.database.url, tables)] == ["one", "two"]


LOOP = """
DO $$
BEGIN
    FOR i IN 1..5 LOOP
        INSERT INTO t VALUES (i);
        COMMIT;
        PERFORM 1 / (3 - i);
    END LOOP;
END $$
"""


def test_a_block_that_commits_by_itself_is_refused_in_production(project: Project) -> None:
    execute(project.database.url, "CREATE TABLE t (i int)")
    project.write("1", [LOOP], more="manager.online()")
    ended = project.forwards()
    assert ended.code != 0
    assert "commits by itself" in ended.stderr
    assert "PARTMAN_ALLOW_DATA_LOSS=1" in ended.stderr
    assert query(project.database.url, "SELECT count(*) FROM t")[0][0] == 0


def test_the_commits_of_a_block_that_fails_are_counted(project: Project) -> None:
    execute(project.database.url, "CREATE TABLE t (i int)")
    project.write("1", ["CREATE TABLE u ()", LOOP], more="manager.online()")
    ended = project.forwards(PARTMAN_ALLOW_DATA_LOSS="1")
    assert ended.code == 7, ended.output
    assert "division by zero" in ended.stderr
    assert "Step 2 failed after 3 commits of its own, which stay" in ended.stderr
    assert query(project.database.url, "SELECT count(*) FROM t")[0][0] == 3

    execute(project.database.url, "TRUNCATE t")
    project.write("1", ["CREATE TABLE u ()", LOOP.replace("(3 - i)", "1")], more="manager.online()")
    ended = project.forwards(PARTMAN_ALLOW_DATA_LOSS="1")
    assert ended.code == 0, ended.output
    assert query(project.database.url, "SELECT count(*) FROM t")[0][0] == 5


RAISING = {
    "a missing file": ("open('data/names.csv')", "FileNotFoundError"),
    "a value error": ("raise ValueError('no such\\n   partner')", "ValueError: no such partner"),
    "a timeout": ("raise TimeoutError('the API')", "TimeoutError: the API"),
    "a lost connection of its own": ("raise ConnectionResetError('peer')", "ConnectionResetError"),
    "an error of the driver": (
        "import asyncpg; raise asyncpg.InterfaceError('connection is closed')",
        "InterfaceError: connection is closed",
    ),
    "an assertion": ("assert 1 == 2", "AssertionError"),
    "a name": ("nmae", "NameError"),
    "an error without a text": ("raise KeyError", "KeyError"),
}


@pytest.mark.parametrize("mode", ["in a transaction", "alone"])
@pytest.mark.parametrize("error", RAISING)
def test_an_error_of_the_migrations_code_is_told_with_its_place(
    failing: Failing, error: str, mode: str
) -> None:
    project, before = failing.project, failing.state()
    code, said = RAISING[error]
    kind = "def" if mode == "alone" else "async def"
    file = project.write(
        "1",
        ["CREATE TABLE t ()"],
        more=f"{kind} work():\n    {code}\nmanager.add_raw(work)\n{MODES[mode]}",
    )
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if code in text)
    for ended in (project.forwards(), project.partman("migrate")):
        assert ended.code == 7, ended.output
        assert f"{file}, line {line}: " in ended.stderr
        assert said in ended.stderr
        assert "The migration was rolled back; the database is as it was before it." in ended.stderr
        assert "Traceback" not in ended.output
        assert "connection was lost" not in ended.output
        assert "Usage" not in ended.output
    after = failing.state()
    assert after.ledger == ()
    assert after.history == (*before.history, *[("1", "forwards", "failed")] * 2)


UNREADABLE = {
    "a module that is missing": ("import no_such_module\n", "ModuleNotFoundError"),
    "a name": ("FIELDS = nmae\n", "NameError"),
    "an error of its own": ("raise RuntimeError('not\\n  today')\n", "RuntimeError: not today"),
    "an exit": ("raise SystemExit(0)\n", "SystemExit: 0"),
    "a typo": ("", "SyntaxError: invalid syntax"),
    "a word out of place": ("return 1\n", "SyntaxError: 'return' outside function"),
}


def _spoil(file: Path, code: str) -> int:
    """Put the code before the function, else a typo into it; return its line."""
    text = file.read_text()
    if code:
        text = text.replace("\n\nasync def", f"{code}\n\nasync def")
    else:
        text = text.replace("return manager", "return return manager")
    file.write_text(text)
    said = code.strip() or "return return"
    return next(n for n, line in enumerate(text.splitlines(), 1) if said in line)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("error", UNREADABLE)
def test_a_file_that_cannot_be_imported_is_told_and_recorded(
    failing: Failing, error: str, backwards: bool
) -> None:
    code, said = UNREADABLE[error]
    project = failing.project
    file = project.write("1", ["CREATE TABLE t ()"], ["DROP TABLE t"])
    if backwards:
        assert project.forwards().code == 0
    before = failing.state()
    line = _spoil(file, code)
    runs = [project.backwards()] if backwards else [project.forwards(), project.partman("migrate")]
    for ended in runs:
        assert ended.code == 7, ended.output
        assert f"{file} cannot be read: {said}" in ended.stderr
        assert f"(line {line}). Nothing was run." in ended.stderr
        assert "Traceback" not in ended.output
        assert "Usage" not in ended.output
    after = failing.state()
    assert after.ledger == before.ledger
    direction = "backwards" if backwards else "forwards"
    assert after.history == (*before.history, *[("1", direction, "failed")] * len(runs))
    if not backwards:
        told = project.partman("status")
        assert told.code in {1, 10}
        if told.code == 10:  # it has to be imported, or compiled, to be known
            assert f"{file} cannot be read: {said}" in told.stderr
        else:
            assert "Failed: 1, " in told.stdout
            assert said in told.stdout
        assert project.piccolo("check").code == 10
    else:
        project.write("1", ["CREATE TABLE t ()"], ["DROP TABLE t"])
        assert project.backwards().code == 0


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("place", ["at import", "in forwards", "in the manager"])
def test_the_traceback_of_a_migrations_error_is_printed_when_asked_for(
    failing: Failing, place: str, trace: bool
) -> None:
    project, before = failing.project, failing.state()
    raising = "raise ValueError('no such partner')"
    work = f"async def work():\n    {raising}\nmanager.add_raw(work)"
    more = {"at import": "", "in forwards": raising, "in the manager": work}[place]
    file = project.write("1", ["CREATE TABLE t ()"], more=more)
    if place == "at import":
        _spoil(file, f"{raising}\n")
    runs = [project.partman("migrate", *["--traceback"] * trace)]
    if place != "in forwards":  # Piccolo's command prints that one itself
        runs.append(
            project.forwards() if not trace else project.piccolo("forwards", "all", "--trace")
        )
    for ended in runs:
        assert ended.code == 7, ended.output
        assert ("Traceback (most recent call last)" in ended.stderr) is trace
        assert (f'File "{file}", line' in ended.stderr) is trace
        assert ended.stderr.rstrip().splitlines()[-1].startswith("partman: ")
        assert "ValueError: no such partner" in ended.stderr.splitlines()[-1]
    after = failing.state()
    assert after.ledger == ()
    assert after.history == (*before.history, *[("1", "forwards", "failed")] * len(runs))


def test_piccolos_command_tells_an_error_of_the_function_itself_its_own_way(
    project: Project,
) -> None:
    """The runbook says so: nothing of partman is called between the two."""
    project.write("1", ["CREATE TABLE one ()"], more="open('data/names.csv')")
    ended = project.forwards()
    assert ended.code == 1
    assert "No such file or directory" in ended.output
    after = state(project.database.url)
    assert (after.ledger, after.history) == ((), ())
    assert query(project.database.url, "SELECT FROM pg_class WHERE relname = 'one'") == []
    assert project.partman("migrate").code == 7


def test_an_error_of_the_function_itself_is_told_with_its_place(project: Project) -> None:
    project.write("1", ["CREATE TABLE one ()"], ["DROP TABLE one"])
    file = project.write("2", ["CREATE TABLE two ()"], more="open('data/names.csv')")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "open" in text)
    ended = project.partman("migrate")
    assert ended.code == 7, ended.output
    assert f"{file}, line {line}: FileNotFoundError" in ended.stderr
    assert "Nothing of the migration was run; the database is as it was before it" in ended.stderr
    assert state(project.database.url).history == (
        ("1", "forwards", "done"),
        ("2", "forwards", "failed"),
    )


def test_a_statement_that_fails_and_is_passed_over_ends_the_migration(project: Project) -> None:
    project.write(
        "1",
        ["CREATE TABLE t ()"],
        more="""
        async def work():
            import contextlib
            from piccolo.engine import engine_finder
            with contextlib.suppress(Exception):
                await engine_finder().run_ddl("DROP TABLE no_such_table")
        manager.sql_before.clear()
        manager.sql.clear()
        manager.add_raw(work)
        """,
    )
    ended = project.forwards()
    assert ended.code == 7, ended.output
    assert "no_such_table" in ended.stderr
    assert "rolled back" in ended.stderr
    assert state(project.database.url).ledger == ()
