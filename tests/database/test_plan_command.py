"""`partman plan` as a command: its exit codes, its formats, and that it leaves no trace."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalog import catalog
from tests.database.plan_sample import ONLINE
from tests.project import Project, applied_once
from tests.support import execute, query, script, server_url, temporary_database

pytestmark = pytest.mark.same_on_every_version


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Project]:
    def write(project: Project) -> None:
        project.write("1", ["CREATE TABLE t (id int PRIMARY KEY, n int)"])

    with applied_once("small", write, tmp_path) as project:
        yield project


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [("brief-lock", 1), ("blocks-writes", 1), ("blocks-reads", 0), ("loses-data", 0)],
)
def test_fail_on_sets_the_level_that_fails(small: Project, fail_on: str, code: int) -> None:
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    completed = small.partman("plan", "--fail-on", fail_on)
    assert completed.code == code, completed.output
    assert "\n\nblocks writes  2" in completed.stdout


def test_nothing_pending_fails_on_nothing(small: Project) -> None:
    assert small.partman("plan", "--fail-on", "brief-lock").code == 0


def test_the_sql_is_what_the_migrations_would_run(small: Project) -> None:
    small.write("2", ["ALTER TABLE t ADD COLUMN more int;", "CREATE INDEX i ON t (more)"])
    small.write("3", ["CREATE INDEX CONCURRENTLY j ON t (n)"], more=ONLINE)
    printed = small.partman("plan", "--sql").stdout
    with temporary_database() as other:
        execute(other.url, "CREATE TABLE t (id int PRIMARY KEY, n int)")
        execute(other.url, *[each for each in printed.split(";\n") if each.strip()])
        assert small.forwards().code == 0
        assert catalog(other.url) == catalog(small.database.url)


def test_stops_at_a_migration_that_cannot_be_run(small: Project) -> None:
    small.write("2", ["ALTER TABLE nowhere ADD COLUMN n int"])
    small.write("3", ["CREATE TABLE later (id int)"])
    completed = small.partman("plan", "--fail-on", "loses-data")
    assert completed.code == 7, completed.output
    assert 'relation "nowhere" does not exist' in completed.stdout
    assert "Not tried, because an earlier migration fails: 3" in completed.stdout


def test_reports_applied_migrations_that_fail_on_scratch(small: Project) -> None:
    small.write("1", ["CREATE TABLE t (id nothing)"])
    small.write("2", ["CREATE TABLE later (id int)"])
    completed = small.partman("plan")
    assert completed.code == 7
    assert "The applied migrations fail on a scratch database: " in completed.stderr


def test_replays_only_the_applied_migrations(small: Project) -> None:
    """A late migration is tried on the live schema; its reversal would revert newer ones too."""
    small.write("3", ["ALTER TABLE t ADD COLUMN late int"])
    assert small.forwards().code == 0
    small.write("2", ["CREATE INDEX i ON t (late)"], ["DROP INDEX i"])
    completed = small.partman("plan")
    assert "not tried: a newer migration is applied" in completed.stdout
    assert "Note: " in completed.stdout, "it comes too late"
    assert "\n\nblocks writes  2" in completed.stdout, completed.output


def test_leaves_nothing_on_the_server(small: Project, server: str) -> None:
    """On a server of its own: roles belong to all databases of one."""

    def everything() -> list[set[tuple[Any, ...]]]:
        looks = (
            "SELECT rolname, rolcanlogin, oid FROM pg_roles",
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members",
            "SELECT datname, datacl::text FROM pg_database",
        )
        return [{tuple(row.values()) for row in query(server, sql)} for sql in looks]

    execute(server, "CREATE ROLE was_there", "CREATE ROLE was_there_too")
    small.write(
        "2",
        [
            "CREATE TABLE made (id int)",
            "CREATE ROLE made_on_trial",
            "DO $$ BEGIN CREATE USER made_in_a_block; END $$",
            "GRANT SELECT ON made TO made_on_trial",
            "GRANT was_there TO was_there_too",
            "GRANT was_there TO made_on_trial",
        ],
        ["CREATE ROLE made_on_the_way_back"],
    )
    before = everything()
    completed = small.partman("plan", DATABASE_URL=server)
    assert completed.code == 0, completed.output
    assert "2 migrations tried" in completed.stdout
    assert everything() == before


CHANGES_OF_A_ROLE = [
    "ALTER ROLE {role} CONNECTION LIMIT 3",
    '/* ROLE */ alter /* x */ user "{role}" connection limit 3',
    "DO $$ BEGIN EXECUTE 'ALTER ' || 'ROLE {role} CONNECTION LIMIT 3'; END $$",
    "DO $$ BEGIN EXECUTE format('DROP %s %I', 'ROLE', '{role}'); END $$",
    "REVOKE {role} FROM CURRENT_USER",
    "SELECT 1; DROP ROLE {role}",
]


@pytest.mark.parametrize("change", CHANGES_OF_A_ROLE)
def test_leaves_an_existing_role_unchanged(small: Project, change: str) -> None:
    role = f"{small.database.name}_there"
    execute(server_url(), f"CREATE ROLE {role}", f"GRANT {role} TO CURRENT_USER")
    asked = (
        "SELECT r::text, (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = r.oid)"
        f" FROM pg_roles r WHERE rolname = '{role}'"
    )
    before = [*map(tuple, query(server_url(), asked))]
    try:
        small.write("2", [change.format(role=role)])
        completed = small.partman("plan")
        assert completed.code == 7
        assert "--scratch embedded" in completed.stdout
        assert [*map(tuple, query(server_url(), asked))] == before
    finally:
        execute(server_url(), f"DROP ROLE {role}")


def test_tries_a_change_of_a_role_on_another_server(
    small: Project, server: str, installed: Path
) -> None:
    role = f"{small.database.name}_there"
    execute(server_url(), f"CREATE ROLE {role}")
    execute(server, f"CREATE ROLE {role}")
    try:
        small.write("2", [f"ALTER ROLE {role} CONNECTION LIMIT 3"])
        completed = small.partman("plan")
        assert completed.code == 7
        assert "--scratch embedded" in completed.stdout
        limit = query(server_url(), "SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", role)
        assert limit[0][0] == -1
        elsewhere = ("plan", "--scratch", "embedded")
        tried = small.partman(*elsewhere, PARTMAN_DATA_DIR=str(installed))
        assert tried.code == 0, tried.output
    finally:
        execute(server_url(), f"DROP ROLE {role}")


def test_scratch_embedded_needs_no_privilege_on_the_server(
    small: Project, server: str, installed: Path
) -> None:
    role = f"{small.database.name}_plain"
    url = re.sub(r"//[^@]*@", f"//{role}@", small.database.url)
    execute(
        small.database.url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT {role} TO CURRENT_USER",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
        refused = small.partman("plan", DATABASE_URL=url)
        assert refused.code == 6
        assert "--scratch embedded" in refused.stderr
        tried = small.partman(
            *("plan", "--scratch", "embedded"),
            DATABASE_URL=url,
            PARTMAN_DATA_DIR=str(installed),
        )
        assert tried.code == 0, tried.output
        assert tried.stdout.startswith("blocks writes  1 migration tried")
    finally:
        execute(small.database.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_rows_hidden_by_a_policy_count_as_unknown(small: Project) -> None:
    role = f"{small.database.name}_plain"
    execute(
        small.database.url,
        "INSERT INTO t VALUES (1, 1)",
        f"CREATE ROLE {role} LOGIN CREATEDB",
        f"GRANT {role} TO CURRENT_USER",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    )
    try:
        small.write("2", ["DROP TABLE t"])
        url = re.sub(r"//[^@]*@", f"//{role}@", small.database.url)
        completed = small.partman("plan", DATABASE_URL=url)
        assert completed.stdout.startswith("loses data"), completed.output
        assert "t: the table is gone (an unknown number of rows)" in completed.stdout
    finally:
        execute(small.database.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_pipe_gets_plain_text(small: Project) -> None:
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    completed = small.partman("plan", FORCE_COLOR="")
    assert "\x1b" not in completed.stdout
    assert "access exclusive" not in completed.stdout
    shown = r"1 +CREATE INDEX i ON t \(n\) +[\d.]+ ms\n +share on t +blocks writes, DDL"
    assert re.search(shown, completed.stdout)
    assert "times are of one without rows" in re.sub(r"\s+", " ", completed.stdout)


def test_reports_that_squawk_is_not_installed(small: Project, tmp_path: Path) -> None:
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; sys.argv[0] = 'partman'; sys.executable = '/nowhere/python'\n"
        "from partman.cli import main; main()\n"
    )
    completed = small.zygote.run(
        *("python", "-m", "program", "plan"),
        environment=small.environment | {"PATH": os.defpath},
        cwd=tmp_path,
    )
    assert completed.code == 0, completed.stderr
    assert "squawk is not installed" in completed.stdout
    assert "squawk is not installed" not in small.partman("plan").stdout


def test_squawk_is_installed() -> None:
    assert Path(script("squawk")).exists()


def test_an_ordinary_run_is_not_observed() -> None:
    from partman.migration.runner.observer import observed

    async def run() -> str:
        return "done"

    assert observed(None, "SELECT 1", run) is run  # type: ignore[arg-type]
    assert asyncio.run(run()) == "done"


TAKEN = {
    "ALTER TABLE a DROP COLUMN n": "a.n: the column is gone",
    "DROP TABLE b": "b: the table is gone",
    "DELETE FROM c": "c: all rows were deleted",
    "TRUNCATE d": "d: all rows were deleted",
}


@pytest.mark.parametrize("is_pending", [False, True], ids=["applied", "pending"])
def test_structural_losses_count_where_no_rows_are_seen(project: Project, is_pending: bool) -> None:
    """CI's database has no rows that could be lost, and the real one has."""
    tables = [f"CREATE TABLE {name} (id int PRIMARY KEY, n int)" for name in "abcd"]
    project.write("1", [*tables, "CREATE TABLE kinds AS SELECT 1 AS id"])
    if not is_pending:
        assert project.forwards().code == 0
    for number, statement in enumerate(TAKEN, 2):
        project.write(str(number), [statement])
    completed = project.partman("plan", "--fail-on", "loses-data")
    assert completed.code == 1, completed.output
    for said in TAKEN.values():
        assert f"because    {said} (an unknown number of rows)\n" in completed.stdout
    assert completed.stdout.count("\nloses data  ") == len(TAKEN)
    version = "none, no migration is applied" if is_pending else "1"
    verdict = completed.stdout.partition("\n")[0]
    assert verdict.startswith("loses data  ")
    assert verdict.endswith(f"tried at version {version}; no rows were seen")


def test_structural_losses_are_counted_where_rows_are_seen(small: Project) -> None:
    execute(small.database.url, "INSERT INTO t VALUES (1, NULL)")
    small.write("2", ["ALTER TABLE t DROP COLUMN n"])
    completed = small.partman("plan", "--fail-on", "loses-data")
    assert completed.code == 0, completed.output
    assert completed.stdout.startswith("brief lock  1 migration tried at version 1\n")


def test_a_table_made_and_dropped_by_one_migration_is_no_loss(project: Project) -> None:
    project.write("1", ["CREATE TABLE t (id int, n int)", "ALTER TABLE t DROP COLUMN n"])
    assert project.partman("plan", "--fail-on", "brief-lock").code == 0


@pytest.mark.parametrize("fail_on", ["blocks-writes", "loses-data"])
def test_unseen_code_is_as_bad_as_fail_on_says(small: Project, fail_on: str) -> None:
    """It may do anything. A change of rows whose reach is unknown blocks writes."""
    execute(small.database.url, "INSERT INTO t VALUES (1, NULL)")
    small.write("2", ["UPDATE t SET n = 1 WHERE n IS NULL"])
    assert small.partman("plan", "--fail-on", fail_on).code == int(fail_on == "blocks-writes")
    small.write("3", ["DO $$ BEGIN PERFORM FROM t; END $$"])
    assert small.partman("plan", "--fail-on", fail_on).code == 1
