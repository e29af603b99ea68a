"""No migration loses data unless that is explicitly allowed."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from partman.migration.runner.snapshot import read_snapshot
from tests.catalog import catalog
from tests.project import Project, applied_once
from tests.summary import some_on_every_version
from tests.support import Database, as_role, execute, query

TABLES = [
    "CREATE TABLE parents (id int PRIMARY KEY, name varchar(50), price numeric(15,2), empty text)",
    "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE)",
    "CREATE TABLE nothing (id int)",
    "INSERT INTO parents VALUES (1, 'one', 1.25), (2, 'two', 2.50)",
    "INSERT INTO children VALUES (1, 1), (2, 2), (3, 2)",
]

LOSSES = {
    "a dropped table": (["DROP TABLE children"], "children: the table is gone (3 rows)"),
    "a dropped table and what hangs on it": (
        ["DROP TABLE parents CASCADE"],
        "parents: the table is gone (2 rows)",
    ),
    "a dropped column": (
        ["ALTER TABLE parents DROP COLUMN price"],
        "parents.price: the column is gone (2 rows)",
    ),
    "a column dropped while another is added": (
        ["ALTER TABLE parents DROP COLUMN price, ADD COLUMN cents bigint"],
        "parents.price: the column is gone (2 rows)",
    ),
    "a truncated table": (["TRUNCATE children"], "children: all rows were deleted (3 rows)"),
    "rows deleted by cascade": (
        ["DELETE FROM parents"],
        "parents: all rows were deleted (2 rows); children: all rows were deleted (3 rows)",
    ),
    "a narrowed number": (
        ["ALTER TABLE parents ALTER COLUMN price TYPE numeric(15,0)"],
        "parents.price: the change from numeric(15,2) to numeric(15,0) altered values (2 rows)",
    ),
    "a shortened text": (
        ["ALTER TABLE parents ALTER COLUMN name TYPE varchar(2) USING left(name, 2)"],
        "parents.name: the change from character varying(50) to character varying(2) altered",
    ),
    "a table dropped in a block": (
        ["DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'children'; END $$"],
        "children: the table is gone (3 rows)",
    ),
    "a table dropped by a function in a harmless-looking statement": (
        [
            "CREATE FUNCTION clean() RETURNS int LANGUAGE plpgsql"
            " AS $$ BEGIN DROP TABLE children; RETURN 1; END $$",
            "INSERT INTO nothing SELECT clean()",
        ],
        "children: the table is gone (3 rows)",
    ),
    "a column of a table that was renamed before": (
        ["ALTER TABLE parents RENAME TO elders", "ALTER TABLE elders DROP COLUMN price"],
        "parents.price: the column is gone (2 rows)",
    ),
    "a table emptied after it was moved and renamed": (
        [
            "CREATE SCHEMA other",
            "ALTER TABLE children SET SCHEMA other",
            "ALTER TABLE other.children RENAME TO offspring",
            "TRUNCATE other.offspring",
        ],
        "children: all rows were deleted (3 rows)",
    ),
    "a column that was renamed and narrowed": (
        [
            "ALTER TABLE parents RENAME COLUMN price TO cost",
            "ALTER TABLE parents RENAME TO elders",
            "ALTER TABLE elders ALTER COLUMN cost TYPE numeric(15,0)",
        ],
        "parents.price: the change from numeric(15,2) to numeric(15,0) altered values (2 rows)",
    ),
    "a renamed table dropped in a block": (
        ["ALTER TABLE children RENAME TO offspring", "DO $$ BEGIN DROP TABLE offspring; END $$"],
        "children: the table is gone (3 rows)",
    ),
    "a table replaced by an empty one": (
        ["DROP TABLE children", "CREATE TABLE children (id int PRIMARY KEY, parent int)"],
        "children: the table is gone (3 rows)",
    ),
}

HARMLESS = {
    "an empty table dropped": ["DROP TABLE nothing"],
    "a column without values dropped": ["ALTER TABLE parents DROP COLUMN empty"],
    "a table renamed": ["ALTER TABLE children RENAME TO offspring"],
    "a column renamed": ["ALTER TABLE parents RENAME COLUMN price TO cost"],
    "a table moved to another schema": [
        "CREATE SCHEMA other",
        "ALTER TABLE children SET SCHEMA other",
    ],
    "a wider number": ["ALTER TABLE parents ALTER COLUMN price TYPE numeric(20,4)"],
    "a longer text": ["ALTER TABLE parents ALTER COLUMN name TYPE text"],
    "another kind of number": ["ALTER TABLE children ALTER COLUMN id TYPE bigint"],
    "a table emptied and filled again": [
        "DELETE FROM children",
        "INSERT INTO children VALUES (7, 1)",
    ],
    "some rows deleted": ["DELETE FROM children WHERE id = 1"],
    "a table made and dropped again": ["CREATE TABLE t AS SELECT 1 AS one", "DROP TABLE t"],
    "a temporary table": ["CREATE TEMP TABLE t AS SELECT 1 AS one", "DROP TABLE t"],
}


def write_tables(project: Project) -> None:
    project.write("2026-01-01", TABLES)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Project]:
    with applied_once("guard", write_tables, tmp_path) as project:
        yield project


@pytest.fixture(scope="module")
def refusing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Project, frozenset[str]]]:
    """A project for migrations that are refused, and what its database has before and after."""
    with applied_once("guard", write_tables, tmp_path_factory.mktemp("refusing")) as project:
        yield project, catalog(project.database.url)


@pytest.mark.parametrize("loss", some_on_every_version(LOSSES, 3))
def test_refuses_losses(refusing: tuple[Project, frozenset[str]], loss: str) -> None:
    project, before = refusing
    statements, message = LOSSES[loss]
    migration = f"2026-02-{[*LOSSES].index(loss) + 1:02}"
    file = project.write(migration, statements)
    completed = project.forwards()
    file.unlink()
    assert completed.code == 11, completed.output
    assert message in completed.stderr
    assert f"PARTMAN_ALLOW_DATA_LOSS={migration}" in completed.stderr
    assert catalog(project.database.url) == before
    assert query(project.database.url, "SELECT count(*) FROM children")[0][0] == 3
    failed = query(
        project.database.url,
        "SELECT migration, error FROM migration_history WHERE outcome = 'failed' ORDER BY id DESC",
    )
    assert [row["migration"] for row in failed].count(migration) == 1
    assert failed[0]["migration"] == migration
    assert message in failed[0]["error"]


COUNTED_AFTERWARDS = {
    "a table dropped in a block",
    "a table dropped by a function in a harmless-looking statement",
    "a renamed table dropped in a block",
}
"""Losses that nobody could foresee: only a rollback brings the rows back to be counted."""


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("loss", LOSSES)
def test_allowed_losses_are_logged(filled: Project, loss: str) -> None:
    statements, message = LOSSES[loss]
    if loss in COUNTED_AFTERWARDS:
        message = message.replace("3 rows", "an unknown number of rows")
    filled.write("2026-01-02", statements)
    completed = filled.forwards(PARTMAN_ALLOW_DATA_LOSS="2026-01-02")
    assert completed.code == 0, completed.output
    assert "WARNING 2026-01-02 loses data: " in completed.stderr
    assert message in completed.stderr


@pytest.mark.same_on_every_version
def test_losses_of_another_migration_are_not_allowed(filled: Project) -> None:
    filled.write("2026-01-02", ["DROP TABLE children"])
    assert filled.forwards(PARTMAN_ALLOW_DATA_LOSS="2026-01-01").code == 11


@pytest.mark.parametrize("change", some_on_every_version(HARMLESS, 4))
def test_allows_changes_without_loss(filled: Project, change: str) -> None:
    filled.write("2026-01-02", HARMLESS[change])
    completed = filled.forwards()
    assert completed.code == 0, completed.output
    assert "loses data" not in completed.stderr


@pytest.mark.same_on_every_version
def test_refuses_losses_backwards(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE t (id int)"], ["DROP TABLE t"])
    assert project.forwards().code == 0
    execute(project.database.url, "INSERT INTO t VALUES (1)")
    completed = project.backwards()
    assert completed.code == 11
    assert "t: the table is gone (1 row)" in completed.stderr
    assert query(project.database.url, "SELECT id FROM t")[0]["id"] == 1


def test_reads_no_rows_if_nothing_is_removed(filled: Project) -> None:
    """One EXISTS per table before and after; a count would read all 10,000 rows."""
    execute(
        filled.database.url,
        "INSERT INTO children SELECT i, 1 FROM generate_series(4, 10000) AS i",
        "SELECT pg_stat_force_next_flush()",
    )
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'children'"
    filled.write("2026-01-02", ["ALTER TABLE parents DROP COLUMN empty", "DROP TABLE nothing"])
    before = query(filled.database.url, read)[0][0]
    assert filled.forwards().code == 0
    assert query(filled.database.url, read)[0][0] - before <= 10


def test_refuses_losses_where_rows_are_not_counted(filled: Project) -> None:
    superuser = as_role(filled.database.url, "postgres")
    execute(superuser, f"ALTER DATABASE {filled.database.name} SET track_counts = off")
    filled.write("2026-01-02", ["DELETE FROM parents WHERE id = 1", "DELETE FROM children"])
    completed = filled.forwards()
    assert completed.code == 11, completed.output
    assert "would lose data: children: all rows were deleted (3 rows)" in completed.stderr


async def test_tables_and_columns_are_in_the_order_of_their_creation(
    empty_database: Database,
) -> None:
    connection = await asyncpg.connect(empty_database.url)
    try:
        await connection.execute(
            # As PostgreSQL may plan it: in the order of the rows, and to change a row moves it.
            "SET enable_indexscan = off; SET enable_bitmapscan = off;"
            "CREATE TABLE first (a int, b int); CREATE TABLE second (a int);"
        )
        await connection.execute(
            "ALTER TABLE first SET (fillfactor = 50); ALTER TABLE first ALTER a SET NOT NULL"
        )
        found = await read_snapshot(connection)
    finally:
        await connection.close()
    assert [table.name for table in found.tables.values()] == ["first", "second"]
    assert [column.name for column in found.columns.values()] == ["a", "b", "a"]


def test_reports_losses_that_cannot_be_counted(filled: Project) -> None:
    """Under forced row-level security a role sees no rows, although the table has some."""
    role = f"{filled.database.name}_plain"
    execute(
        filled.database.url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT {role} TO CURRENT_USER",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
        f"ALTER TABLE children OWNER TO {role}",
        "ALTER TABLE children ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE children FORCE ROW LEVEL SECURITY",
    )
    try:
        filled.write("2026-01-02", ["DROP TABLE children"])
        url = re.sub(r"//[^@]*@", f"//{role}@", filled.database.url)
        completed = filled.forwards(DATABASE_URL=url)
        assert completed.code == 11, completed.output
        assert "children: the table is gone (an unknown number of rows)" in completed.stderr
    finally:
        execute(
            filled.database.url,
            f"REASSIGN OWNED BY {role} TO CURRENT_USER",
            f"DROP OWNED BY {role}",
            f"DROP ROLE {role}",
        )
