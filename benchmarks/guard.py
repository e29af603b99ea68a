"""Measure the cost of the data-loss guard on a table of two million rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Case, Result, measure
from benchmarks.projects import Project, raw_project, script
from benchmarks.server import Server

ROWS = 2_000_000
_DATABASE = "guarded"
_TABLES = (
    # Wide enough that a scan is measurable.
    f"CREATE UNLOGGED TABLE big AS SELECT n AS id, md5(n::text) AS body, NULL::text AS unused"
    f" FROM generate_series(1, {ROWS}) n",
    "CREATE TABLE empty (id integer)",
    "ANALYZE big",
)


@dataclass(frozen=True)
class Change:
    """A migration of one statement, and the statement that reverts it."""

    name: str
    title: str
    sql: str
    undo: str


CHANGES = (
    Change(
        "create_other",
        "creates another table",
        "CREATE TABLE other (id integer)",
        "DROP TABLE IF EXISTS other",
    ),
    Change(
        "add_column",
        "adds a column to the big table",
        "ALTER TABLE big ADD COLUMN added text",
        "ALTER TABLE big DROP COLUMN IF EXISTS added",
    ),
    Change(
        "drop_empty",
        "drops an empty table",
        "DROP TABLE empty",
        "CREATE TABLE IF NOT EXISTS empty (id integer)",
    ),
    Change(
        "drop_unused",
        "drops a column of the big table that is NULL in every row",
        "ALTER TABLE big DROP COLUMN unused",
        "ALTER TABLE big ADD COLUMN IF NOT EXISTS unused text",
    ),
)


@dataclass(frozen=True)
class Cost:
    """The cost of one change, with the guard and without."""

    change: Change
    guarded: Result
    unguarded: Result
    rows_read: int
    """Number of rows of the big table that one guarded run read."""


def measure_guard(folder: Path, server: Server, rounds: int) -> list[Cost]:
    """Measure each change with and without the guard, alternately."""
    statements = {change.name: change.sql for change in CHANGES}
    guarded = raw_project(folder / "guarded", server, statements, guarded=True)
    unguarded = raw_project(folder / "unguarded", server, statements, guarded=False)
    server.create(_DATABASE)
    server.execute(_DATABASE, *_TABLES)
    results = measure(server, list(_cases(server, guarded, unguarded)), rounds)
    return [
        Cost(
            change,
            results[f"{change.name}, guarded"],
            results[f"{change.name}, unguarded"],
            _rows_read(server, guarded, change),
        )
        for change in CHANGES
    ]


def _cases(server: Server, guarded: Project, unguarded: Project) -> Iterator[Case]:
    for change in CHANGES:
        for name, project in (("guarded", guarded), ("unguarded", unguarded)):
            yield _case(server, project, change, f"{change.name}, {name}")


def _case(server: Server, project: Project, change: Change, name: str) -> Case:
    return Case(
        name,
        [script("piccolo"), "migrations", "forwards", change.name],
        _DATABASE,
        project.environment(_DATABASE),
        project.folder,
        lambda: _undo(server, change),
    )


def _undo(server: Server, change: Change) -> None:
    forget = (
        f"DELETE FROM migration WHERE app_name = '{change.name}'"
        if server.execute(_DATABASE, "SELECT to_regclass('migration')")[0][0]
        else "SELECT"
    )
    server.execute(_DATABASE, change.undo, forget)


def _rows_read(server: Server, project: Project, change: Change) -> int:
    def read() -> int:
        server.settle()
        sql = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'big'"
        return int(server.execute(_DATABASE, sql)[0][0])

    case = _case(server, project, change, change.name)
    _undo(server, change)
    before = read()
    measure(server, [case], rounds=0)
    return read() - before
