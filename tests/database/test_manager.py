"""The MigrationManager's methods, and the uses that it refuses."""

import pytest

from partman.errors import ExitCode
from tests.project import Project
from tests.support import execute, query

pytestmark = pytest.mark.same_on_every_version

ONLINE = "manager.online()"
REQUIRE = (
    'manager.require_no_rows("a size is positive", "SELECT n FROM sizes WHERE NOT n > 0")\n'
    'manager.require_no_rows("a size is small", "SELECT n FROM sizes WHERE NOT n < 10")\n'
)
ADD_CHECK = [
    "ALTER TABLE sizes ADD CONSTRAINT positive CHECK (n > 0) NOT VALID",
    "ALTER TABLE sizes VALIDATE CONSTRAINT positive",
]
IMPORT = "from piccolo.constraints import Check\n"
ADD_CONSTRAINT = (
    'manager.add_constraint("Size", "sizes", "positive", Check, {"condition": "n > 0"})'
)
DONE_IN_SQL = f"{IMPORT}with manager.done_in_sql(): {ADD_CONSTRAINT}\n"


@pytest.fixture
def sizes(project: Project) -> Project:
    """A project on a database with a table of two sizes, one of them wrong."""
    execute(project.database.url, "CREATE TABLE sizes AS SELECT 1 AS n UNION ALL SELECT -1")
    return project


def constraints(project: Project) -> list[str]:
    rows = query(
        project.database.url, "SELECT conname FROM pg_constraint WHERE conrelid = 'sizes'::regclass"
    )
    return [row["conname"] for row in rows]


@pytest.mark.parametrize("kind", [ONLINE, ""])
def test_violating_rows_stop_a_migration_before_any_statement(sizes: Project, kind: str) -> None:
    sizes.write("1", ADD_CHECK, more=f"{REQUIRE}{kind}")

    refused = sizes.forwards()

    assert refused.code == ExitCode.MIGRATION
    assert "Nothing was changed" in refused.stderr
    assert (
        "a size is positive: 1 row violates this. List them with: SELECT n FROM sizes WHERE NOT n "
        "> 0;" in refused.stderr
    )
    assert "a size is small" not in refused.stderr
    assert constraints(sizes) == []

    execute(sizes.database.url, "DELETE FROM sizes WHERE n < 0")
    assert sizes.forwards().code == 0
    assert constraints(sizes) == ["positive"]


def test_all_violated_requirements_are_reported_together(sizes: Project) -> None:
    execute(sizes.database.url, "INSERT INTO sizes VALUES (10), (11)")
    sizes.write("1", ADD_CHECK, more=f"{REQUIRE}{ONLINE}")

    refused = sizes.forwards()

    assert "a size is positive: 1 row violates" in refused.stderr
    assert "a size is small: 2 rows violate" in refused.stderr


def test_running_backwards_skips_the_requirements(sizes: Project) -> None:
    execute(sizes.database.url, "DELETE FROM sizes WHERE n < 0")
    sizes.write("1", ADD_CHECK, ["ALTER TABLE sizes DROP CONSTRAINT positive"], REQUIRE + ONLINE)
    assert sizes.forwards().code == 0
    execute(sizes.database.url, "INSERT INTO sizes VALUES (11)")
    assert sizes.backwards().code == 0


@pytest.mark.parametrize("kind", [ONLINE, ""])
def test_a_requirement_of_the_way_back_stops_only_that(sizes: Project, kind: str) -> None:
    back = 'manager.require_no_rows("none", "SELECT n FROM sizes WHERE n > 0", backwards=True)\n'
    execute(sizes.database.url, "DELETE FROM sizes WHERE n < 0")
    sizes.write("1", ADD_CHECK, ["ALTER TABLE sizes DROP CONSTRAINT positive"], back + kind)
    assert sizes.forwards().code == 0

    refused = sizes.backwards()

    assert refused.code == ExitCode.MIGRATION
    assert "Nothing was changed" in refused.stderr
    assert "none: 1 row violates this." in refused.stderr
    assert constraints(sizes) == ["positive"]

    execute(sizes.database.url, "DELETE FROM sizes")
    assert sizes.backwards().code == 0
    assert constraints(sizes) == []


@pytest.mark.parametrize("kind", [ONLINE, ""])
def test_a_preview_shows_the_requirements(sizes: Project, kind: str) -> None:
    sizes.write("1", ADD_CHECK, more=f"{REQUIRE}{kind}")
    preview = sizes.piccolo("forwards", "all", "--preview")
    assert preview.code == 0, preview.output
    required = preview.stdout.index("-- Must return no rows: a size is positive\nSELECT n FROM")
    assert required < preview.stdout.index(ADD_CHECK[0])
    assert sizes.piccolo("forwards", "extra", "--fake").code == 0
    preview = sizes.piccolo("backwards", "extra", "--preview", "--auto_agree")
    assert preview.code == 0, preview.output
    assert "Must return no rows" not in preview.stdout


def test_several_statements_of_one_step_are_one_commit(sizes: Project) -> None:
    sizes.write("1", ["INSERT INTO sizes VALUES (2)"], more="""
        manager.online()
        manager.add_sql(["INSERT INTO sizes VALUES (3)", "SELECT 1 / (n - 3) FROM sizes"], None)
    """)  # fmt: skip

    failed = sizes.forwards()

    assert failed.code == ExitCode.MIGRATION
    assert "division by zero" in failed.stderr
    assert "Step 2 was rolled back. The steps before it are committed" in failed.stderr
    rows = query(sizes.database.url, "SELECT n FROM sizes ORDER BY n")
    assert [row["n"] for row in rows] == [-1, 1, 2]


def test_operations_declared_in_done_in_sql_are_not_run(sizes: Project) -> None:
    sizes.write("1", ["SELECT 1"], more=DONE_IN_SQL + ONLINE)
    assert sizes.forwards().code == 0
    assert constraints(sizes) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (f"{ONLINE}\n{IMPORT}{ADD_CONSTRAINT}", "is online and has schema operations"),
        (DONE_IN_SQL, "is not online. Nothing was done. Call manager.online()"),
    ],
)
def test_misplaced_schema_operations_are_refused(sizes: Project, more: str, said: str) -> None:
    sizes.write("1", ["INSERT INTO sizes VALUES (2)"], more=more)
    refused = sizes.forwards()
    assert refused.code == ExitCode.MIGRATION
    assert said in refused.stderr
    assert constraints(sizes) == []
    assert query(sizes.database.url, "SELECT FROM sizes WHERE n = 2") == []


RENAME = """
manager.rename_column("Size", "sizes", "n", "amount", "n", "amount")
manager.add_sql("CREATE VIEW before AS SELECT n FROM sizes", "DROP VIEW before", before=True)
manager.add_sql("CREATE VIEW after AS SELECT amount FROM sizes", "DROP VIEW after")
"""


def test_sql_before_the_operations_runs_after_them_backwards(sizes: Project) -> None:
    """Each statement uses the column name of its moment, so it would fail at another one."""
    sizes.write("1", [], more=RENAME)
    assert sizes.forwards().code == 0
    assert query(sizes.database.url, "SELECT n FROM before") != []
    execute(sizes.database.url, "DROP VIEW before")
    sizes.write("1", [], more=RENAME.replace('"DROP VIEW before"', '"SELECT n FROM sizes"'))
    undone = sizes.backwards(PARTMAN_PREFLIGHT="warn")
    assert undone.code == 0, undone.output
    assert query(sizes.database.url, "SELECT n FROM sizes") != []


def test_a_preview_shows_sql_where_it_runs(sizes: Project) -> None:
    sizes.write("1", [], more=RENAME)
    shown = sizes.piccolo("forwards", "all", "--preview").stdout
    places = [shown.index(words) for words in ("VIEW before", "RENAME COLUMN", "VIEW after")]
    assert places == sorted(places)
