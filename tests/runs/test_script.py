"""`partman sql` writes what a run does: psql makes the same of a database."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.catalog import catalog
from tests.faults.boundaries import State, state, whole_state
from tests.faults.processes import Zygote
from tests.faults.sessions import session
from tests.project import Project
from tests.psql import run_script
from tests.runs.test_statements import MODES, TEXTS
from tests.support import MIGRATIONS, Completed, Database, execute, query, temporary_database


@pytest.fixture
def other() -> Iterator[Database]:
    """An empty database, for the script."""
    with temporary_database() as database:
        yield database


def script(project: Project, *arguments: str) -> str:
    ended = project.partman("sql", *arguments)
    assert ended.code == 0, ended.output
    return ended.stdout


def run(url: str, text: str) -> str:
    """Run a script that succeeds; return what it has printed."""
    ended = run_script(url, text)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def same(one: str, other: str) -> State:
    """Check that catalog, rows, ledger and history are the same; return them."""
    found = whole_state(other)
    assert whole_state(one) == found
    return found


def test_the_projects_own_migrations(zygote: Zygote, other: Database, database: Database) -> None:
    def partman(*arguments: str) -> Completed:
        return zygote.run("partman", *arguments, environment=other.environment)

    written = partman("sql", "--from", "none")
    assert written.code == 0, written.output
    said = run(other.url, written.stdout)
    assert said.endswith(f"Schema version: {MIGRATIONS[-1]}\n")
    assert same(database.url, other.url).ledger == MIGRATIONS
    assert partman("status").code == 0
    drift = partman("drift")
    assert drift.code == 0, drift.output

    back = partman("sql", "--backwards", "--to", "none")
    assert back.code == 0, back.output
    assert run(other.url, back.stdout).endswith("Schema version: none\n")
    assert whole_state(other.url).contents.rows == ()


KINDS = {
    "in a transaction": (
        ["CREATE TABLE t (id int PRIMARY KEY, a int[])", "CREATE TYPE mood AS ENUM ('a')",
         "ALTER TYPE mood ADD VALUE 'b'", "ALTER TABLE t ADD m mood DEFAULT 'a'"],
        ["DROP TABLE t", "DROP TYPE mood"],
        "manager.require_no_rows('no % schema \\\\ is bad', \"SELECT FROM pg_namespace"
        " WHERE nspname = 'bad' -- none\")",
    ),
    "in steps": (
        ["CREATE INDEX CONCURRENTLY i ON t (id)", "SET bytea_output = 'escape';"
         " ALTER TABLE t ADD CHECK (id > 0) NOT VALID",
         "ALTER TABLE t VALIDATE CONSTRAINT t_id_check", "-- only a comment"],
        ["DROP INDEX CONCURRENTLY i", "ALTER TABLE t DROP CONSTRAINT t_id_check"],
        "manager.online()",
    ),
    "alone": (
        ["CREATE TABLE u (); CREATE TABLE v ()", "VACUUM t", "CREATE INDEX CONCURRENTLY ON t (a)"],
        ["DROP TABLE u", "DROP TABLE v", "DROP INDEX t_a_idx"],
        "manager.wrap_in_transaction = False",
    ),
    "what psql would read otherwise": (
        ["CREATE VIEW w AS SELECT a[1:id], $$\\d :id$$ AS b, '\\x' AS c FROM t; -- :USER",
         "SELECT set_config('search_path', '', false); SET bytea_output = 'escape'",
         "COMMENT ON TABLE public.t IS ':''x'' :\"y\" \\q'", "CREATE TABLE public.x ()"],
        ["DROP VIEW w", "COMMENT ON TABLE t IS NULL", "DROP TABLE x"],
        "",
    ),
}  # fmt: skip


def write_kinds(project: Project) -> None:
    for number, (forwards, backwards, more) in enumerate(KINDS.values(), 1):
        project.write(str(number), forwards, backwards, more)


def test_all_kinds_of_migrations(project: Project, other: Database) -> None:
    write_kinds(project)
    text = script(project)
    said = run(other.url, text)
    told = [line for line in said.splitlines() if line.startswith(("Applying", "Schema"))]
    assert told == [*(f"Applying {n} of extra" for n in "1234"), "Schema version: 4"]
    assert project.forwards().code == 0
    assert same(project.database.url, other.url).ledger == ("1", "2", "3", "4")
    steps = "SELECT steps, os_user, checksum FROM migration_history ORDER BY id"
    assert [row["steps"] for row in query(other.url, steps)] == [None, 4, None, None]
    assert {row["os_user"] for row in query(other.url, steps)} == {"psql"}
    assert None not in {row["checksum"] for row in query(other.url, steps)}

    part = script(project, "--backwards", "--from", "3", "--to", "1")
    assert "Reverting 3 of extra" in part
    assert "DROP VIEW w" not in part, "that is of a newer one"

    text = script(project, "--backwards", "--to", "1")
    assert script(project, "--from", "4", "--to", "1", "--backwards") == text
    assert run(other.url, text).endswith("Schema version: 1\n")
    assert project.piccolo("backwards", "extra", "2", "--auto_agree").code == 0
    assert same(project.database.url, other.url).ledger == ("1",)


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_ledger_keeps_the_order_in_which_migrations_ran(
    project: Project, other: Database, zone: str
) -> None:
    """Whatever the time zone of the server, and of the machine of an earlier run."""
    for number in "12":
        project.write(number, [f"CREATE TABLE t{number} ()"], [f"DROP TABLE t{number}"])
    execute(other.url, f"ALTER DATABASE {other.name} SET timezone = '{zone}'")
    run(other.url, script(project, "--to", "1"))
    [row] = query(other.url, "SELECT now() AT TIME ZONE 'UTC' - ran_on AS age FROM migration")
    assert timedelta() <= row["age"] < timedelta(hours=1)
    execute(other.url, "UPDATE migration SET ran_on = ran_on + interval '12 hours'")
    run(other.url, script(project, "--from", "1"))
    rows = query(other.url, "SELECT name FROM migration ORDER BY ran_on")
    assert [row["name"] for row in rows] == ["1", "2"]


@pytest.mark.parametrize("mode", MODES)
def test_sql_reaches_the_server_byte_for_byte(project: Project, other: Database, mode: str) -> None:
    texts = [*TEXTS.values(), ":USER", "\\q", "a :''USER'' b", "it''s"]
    statements = ["CREATE TABLE t (value text)"]
    statements += [f"\n\n  INSERT INTO t -- '\n VALUES ('{text}')" for text in texts]
    statements += [f"COMMENT ON TABLE t IS $${text}$$;  -- the end" for text in texts]
    project.write("1", statements, more=MODES[mode])
    run(other.url, script(project))
    assert project.forwards().code == 0
    values = "SELECT value FROM t ORDER BY ctid"
    assert query(other.url, values) == query(project.database.url, values)
    assert catalog(other.url) == catalog(project.database.url)


@pytest.mark.same_on_every_version
def test_a_script_is_for_one_version_only(project: Project, other: Database) -> None:
    write_kinds(project)
    text = script(project, "--from", "1")
    ended = run_script(other.url, text)
    assert ended.returncode == 3
    assert "The script is for a database at version 1" in ended.stderr
    assert whole_state(other.url).contents.rows == ()

    run(other.url, script(project, "--to", "1"))
    run(other.url, text)
    again = run_script(other.url, text)
    assert again.returncode == 3
    assert "Write another script: partman sql" in again.stderr


@pytest.mark.same_on_every_version
def test_a_script_waits_for_no_other_run(project: Project, other: Database) -> None:
    write_kinds(project)
    text = script(project)
    key = text.partition("pg_try_advisory_lock(")[2].partition(") THEN")[0]
    with session(other.url, f"SELECT pg_advisory_lock({key})"):
        ended = run_script(other.url, text)
    assert ended.returncode == 3
    assert "Another run holds the migration lock. Nothing was run." in ended.stderr


@pytest.mark.same_on_every_version
def test_a_run_finishes_what_a_failed_script_has_left(project: Project) -> None:
    write_kinds(project)
    text = script(project)
    sabotaged = text.replace("ALTER TABLE t VALIDATE CONSTRAINT", "SELECT 1 / 0; ALTER", 1)
    assert sabotaged != text
    ended = run_script(project.database.url, sabotaged)
    assert (ended.returncode, "division by zero" in ended.stderr) == (3, True)
    assert "killed" in project.partman("status").stdout
    ended = run_script(project.database.url, text)
    assert "The script is for a database at version none" in ended.stderr

    again = project.forwards()
    assert again.code == 0, again.output
    assert "already done" in again.stdout
    assert state(project.database.url).ledger == ("1", "2", "3", "4")


@pytest.mark.same_on_every_version
def test_rows_that_violate_a_requirement_end_it(project: Project, other: Database) -> None:
    write_kinds(project)
    execute(other.url, "CREATE SCHEMA bad")
    ended = run_script(other.url, script(project))
    assert ended.returncode == 3
    assert "Rows violate this: no % schema \\ is bad." in ended.stderr
    assert state(other.url).ledger == ()


@pytest.mark.same_on_every_version
def test_python_functions_are_refused_by_name(project: Project) -> None:
    write_kinds(project)
    function = "async def change():\n    pass\n"
    project.write("5", ["CREATE TABLE x5 ()"], more=f"{function}manager.add_raw(change)")
    project.write("6", [], more=f"{function}manager.add_raw_backwards(change)")
    ended = project.partman("sql")
    assert (ended.code, ended.stdout) == (1, "")
    assert "5 of extra: it runs Python functions" in ended.stderr
    assert "6 of extra" not in ended.stderr
    assert project.partman("sql", "--to", "4").code == 0
    back = project.partman("sql", "--backwards", "--from", "6", "--to", "5")
    assert "6 of extra: it runs Python functions" in back.stderr


@pytest.mark.same_on_every_version
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--from", "7"), "There is no migration 7."),
        (("--to", "none"), "There is nothing to apply between these versions."),
        (("--backwards", "--to", "4"), "There is nothing to revert between these versions."),
        (("--backwards",), "needs --to"),
    ],
)
def test_a_mistake_is_a_line(project: Project, arguments: tuple[str, ...], expected: str) -> None:
    write_kinds(project)
    ended = project.partman("sql", *arguments)
    assert ended.code in (1, 2), ended.output
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr
