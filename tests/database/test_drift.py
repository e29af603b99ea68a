"""``partman drift``: the live database against what its applied migrations build."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from partman.database import embedded
from partman.database.read_only import reading
from partman.errors import DatabaseUnavailableError
from partman.settings import Settings
from tests.catalog import catalog
from tests.database.restored import restore
from tests.database.test_schema import INDEXES
from tests.faults.processes import Zygote
from tests.project import Project, applied_once
from tests.support import MIGRATIONS, Completed, Database, execute, query, temporary_database


def drift(database: Database, zygote: Zygote, *arguments: str, **variables: str) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"} | variables
    return zygote.run("partman", "drift", *arguments, environment=environment)


def test_is_0_for_a_database_as_the_migrations_made_it(database: Database, zygote: Zygote) -> None:
    completed = drift(database, zygote)
    assert completed.code == 0, completed.output
    assert re.fullmatch(
        r"no difference  \d{3} objects compared with what "
        rf"{len(MIGRATIONS)} applied migrations build\.\n",
        completed.stdout,
    )
    assert completed.stderr == ""


@pytest.mark.same_on_every_version
def test_only_applied_migrations_count(empty_database: Database, zygote: Zygote) -> None:
    forwards = ("piccolo", "migrations", "forwards", "partman", INDEXES)
    assert zygote.run(*forwards, environment=empty_database.environment).code == 0
    completed = drift(empty_database, zygote)
    assert completed.code == 0, completed.output
    assert "2 applied migrations" in completed.stdout


# What each change looks like is asked of each version in test_catalog.py.
CHANGES = [
    (
        "CREATE INDEX by_hand ON partners (name)",
        "extra     index public.by_hand\n"
        "    found:    CREATE INDEX by_hand ON public.partners USING btree (name)\n",
    ),
    (
        "DROP INDEX idx_partners_org_domain",
        "missing   index public.idx_partners_org_domain\n"
        "    expected: CREATE INDEX idx_partners_org_domain ON public.partners USING btree"
        " (organization_id, domain)\n",
    ),
    (
        "ALTER POLICY tenant_access ON alerts USING (false)",
        "different policy tenant_access on public.alerts: using\n"
        "    expected: (organization_id ="
        " (current_setting('partman.organization_id'::text))::uuid)\n"
        "    found:    false\n",
    ),
    (
        "ALTER TABLE users ALTER role SET DEFAULT 'admin'",
        "different column public.users.role: default\n"
        "    expected: none\n    found:    'admin'::character varying\n",
    ),
    (
        "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
        "different table public.users: force_row_security\n    expected: yes\n    found:    no\n",
    ),
    (
        "GRANT TRUNCATE ON alerts TO partman_app",
        "different grant partman_app on table public.alerts: privileges\n",
    ),
]
"""By hand, and how they are told."""
OTHER_CHANGES = [
    "ALTER POLICY tenant_only ON alerts USING (true)",
    "GRANT TRUNCATE ON users TO partman_app",
    "DROP FUNCTION organization_for_subdomain(text)",
    "ALTER TABLE partners RENAME website TO site",
    "ALTER TABLE partners ADD gone int DEFAULT 1",
    'CREATE COLLATION by_hand FROM "C"',
]


@dataclass(frozen=True)
class Changed:
    """A database with all of these changes, and what was told of it."""

    database: Database
    before: frozenset[str]
    """Its catalog before the changes."""
    after: frozenset[str]
    text: Completed
    as_json: Completed

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.as_json.stdout)
        return found


@pytest.fixture(scope="module")
def changed(template: Database, zygote: Zygote) -> Iterator[Changed]:
    with temporary_database(template.name) as database:
        before = catalog(database.url)
        execute(database.url, *(statement for statement, _ in CHANGES), *OTHER_CHANGES)
        after = catalog(database.url)
        text, as_json = drift(database, zygote), drift(database, zygote, "--json")
        yield Changed(database, before, after, text, as_json)


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("told", [pytest.param(told, id=statement) for statement, told in CHANGES])
def test_manual_changes_are_shown_as_expected_and_found(changed: Changed, told: str) -> None:
    assert changed.text.code == 1
    assert changed.text.stdout.startswith("13 differences  ")
    assert f"\n{told}" in changed.text.stdout.partition("build.\n")[2]


@pytest.mark.same_on_every_version
def test_prints_json_for_scripts(changed: Changed) -> None:
    assert changed.as_json.code == 1
    facts = changed.facts
    [difference] = [each for each in facts["differences"] if each["name"] == "public.users.role"]
    assert difference["verdict"] == "different"
    assert (difference["kind"], difference["attribute"]) == ("column", "default")
    assert (difference["expected"], difference["found"]) == ("none", "'admin'::character varying")
    assert facts["applied"] == [{"app": "partman", "migration": id_} for id_ in MIGRATIONS]
    assert facts["objects"] > 100
    assert facts["notes"] == []


class TestOnTheTarget:
    def test_the_very_first_statement_cannot_write(
        self, database: Database, zygote: Zygote
    ) -> None:
        """Whoever reads this ledger writes, were it not for the session."""
        execute(
            database.url,
            "CREATE TABLE readers (at timestamptz)",
            "ALTER TABLE migration RENAME TO the_ledger",
            "CREATE FUNCTION note() RETURNS int VOLATILE LANGUAGE sql"
            " AS 'INSERT INTO readers VALUES (now()) RETURNING 1'",
            "CREATE VIEW migration AS SELECT the_ledger.*, note() AS noted FROM the_ledger",
        )
        execute(database.url, "SELECT noted FROM migration LIMIT 1")
        noted = query(database.url, "SELECT * FROM readers")
        assert noted
        completed = drift(database, zygote)
        assert completed.code == 4
        assert "read-only transaction" in completed.stderr
        assert query(database.url, "SELECT * FROM readers") == noted

    async def test_no_statement_of_the_session_can(self, template: Database) -> None:
        with pytest.raises(DatabaseUnavailableError, match="read-only transaction"):
            async with reading(Settings.load(template.environment), "test") as connection:
                await connection.execute("CREATE TABLE t ()")

    async def test_does_not_wait_for_locks(self, database: Database, zygote: Zygote) -> None:
        other = await asyncpg.connect(database.url)
        try:
            await other.execute("BEGIN; LOCK TABLE migration IN ACCESS EXCLUSIVE MODE")
            completed = drift(database, zygote)
            assert completed.code == 8
            assert "would have to wait" in completed.stderr
            await other.execute("ROLLBACK; BEGIN; LOCK TABLE partners IN ACCESS EXCLUSIVE MODE")
            assert drift(database, zygote).code in {0, 8}
        finally:
            await other.close()


@pytest.mark.same_on_every_version
def test_a_ledger_that_is_written_while_it_is_read_is_noticed(
    database: Database, zygote: Zygote
) -> None:
    execute(
        database.url,
        "ALTER TABLE migration RENAME TO the_ledger",
        "CREATE VIEW migration AS SELECT id, app_name, ran_on, name || clock_timestamp() AS name"
        " FROM the_ledger",
    )
    completed = drift(database, zygote)
    assert completed.code == 8
    assert "applied or reverted while the database was being read" in completed.stderr


@pytest.mark.same_on_every_version
class TestFiles:
    @pytest.fixture
    def applied(self, tmp_path: Path) -> Iterator[Project]:
        def write(project: Project) -> None:
            project.write("2026-01-01", ["CREATE TABLE one (id int)"])
            project.write("2026-01-02", ["CREATE TABLE two (id int)"])

        with applied_once("one_and_two", write, tmp_path) as project:
            yield project

    def test_a_missing_one_is_named(self, applied: Project) -> None:
        applied.file("2026-01-02").unlink()
        completed = applied.partman("drift")
        assert completed.code == 10
        assert "2026-01-02 of extra is applied, but there is no such file" in completed.stderr
        assert "Nothing was compared" in completed.stderr

    def test_an_edited_one_is_named_also_where_a_run_would_only_warn(
        self, applied: Project
    ) -> None:
        applied.write("2026-01-02", ["CREATE TABLE two (id bigint)"])
        completed = applied.partman("drift", PARTMAN_PREFLIGHT="warn")
        assert completed.code == 10
        assert "extra_2026-01-02.py was changed after it was applied" in completed.stderr

    def test_an_interrupted_online_migration_is_named(self, applied: Project) -> None:
        online = ["CREATE TABLE three (id int)", "SELECT 1 / 0"]
        applied.write("2026-01-03", online, more="manager.online()")
        assert applied.forwards().code == 7
        completed = applied.partman("drift")
        assert completed.code == 1
        assert "extra     table public.three" in completed.stdout
        assert "Note: 2026-01-03 is online, and was interrupted going forwards" in completed.stdout
        facts = json.loads(applied.partman("drift", "--json").stdout)
        assert [note["kind"] for note in facts["notes"]] == ["interrupted"]

    def test_an_interrupted_one_that_has_left_no_trace_yet_is_named_too(
        self, applied: Project
    ) -> None:
        applied.write("2026-01-03", ["ANALYZE one", "SELECT 1 / 0"], more="manager.online()")
        assert applied.forwards().code == 7
        completed = applied.partman("drift")
        assert completed.code == 1
        assert "2026-01-03 is online, and was interrupted" in completed.stdout
        assert completed.stdout.startswith("no difference, but interrupted  ")

    def test_one_that_was_taken_out_of_the_ledger_is_named(self, applied: Project) -> None:
        execute(applied.database.url, "DELETE FROM migration WHERE name = '2026-01-02'")
        completed = applied.partman("drift")
        assert completed.code == 1
        assert "extra     table public.two" in completed.stdout
        assert "somebody took it out by hand" in completed.stdout


@pytest.mark.same_on_every_version
def test_a_database_without_a_ledger_is_led_to_adoption(
    empty_database: Database, zygote: Zygote
) -> None:
    assert drift(empty_database, zygote).code == 0
    execute(empty_database.url, "CREATE TABLE t (id int)")
    completed = drift(empty_database, zygote)
    assert completed.code == 1
    assert "extra     table public.t\n" in completed.stdout
    assert "partman adopt" in completed.stdout


@contextmanager
def another_role(database: Database, *tables: str) -> Iterator[Database]:
    """The database as a role sees it that may read these tables, and do nothing else."""
    role = f"{database.name}_reader"
    execute(database.url, f"CREATE ROLE {role} LOGIN", f"GRANT USAGE ON SCHEMA public TO {role}")
    try:
        execute(database.url, *(f"GRANT SELECT ON {table} TO {role}" for table in tables))
        yield Database(re.sub(r"//[^@]*@", f"//{role}@", database.url))
    finally:
        execute(
            database.url,
            f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
            f"REVOKE ALL ON SCHEMA public FROM {role}",
            f"DROP ROLE {role}",
        )


def test_a_role_that_may_make_no_database_uses_the_embedded_server(
    database: Database, zygote: Zygote, installed: Path
) -> None:
    """Also where that is another major version."""
    bookkeeping = ("migration", "migration_history", "migration_step")
    with another_role(database, *bookkeeping) as reader:
        completed = drift(reader, zygote)
        assert completed.code == 6
        assert "--scratch embedded" in completed.stderr

        completed = drift(reader, zygote, "--scratch", "embedded", PARTMAN_DATA_DIR=str(installed))
        embedded.stop(installed)
        assert completed.code == 1, completed.output
        assert re.search(r"\n\nextra     grant \w+_reader on schema public\n", completed.stdout)
        assert completed.stdout.startswith("1 difference  ")
        [[version]] = query(database.url, "SELECT current_setting('server_version_num')::int")
        note = "Note: The scratch database is not quite like the live one, so that a statement may"
        told = f"{note} do something else there: it is PostgreSQL 18, not {version // 10000}.\n"
        assert (told in completed.stdout) == (version < 180000), completed.stdout


@pytest.mark.same_on_every_version
def test_without_rights_on_the_ledger_says_so(database: Database, zygote: Zygote) -> None:
    with another_role(database) as stranger:
        completed = drift(stranger, zygote)
        assert completed.code == 6
        assert "the role cannot read the schema: permission denied" in completed.stderr


# Which they are is asked of each version in test_ddl.py.
@pytest.mark.same_on_every_version
def test_names_differences_without_known_sql(changed: Changed) -> None:
    assert "By hand: collation public.by_hand: no SQL is known for it\n" in changed.text.stdout
    assert not any("COLLATION" in statement for statement in changed.facts["sql"])
    assert [each["object"] for each in changed.facts["by_hand"]] == ["collation public.by_hand"]


# The renaming is asked of each version in test_tried_remedy.py.
@pytest.mark.same_on_every_version
def test_a_renamed_column_keeps_its_values(changed: Changed) -> None:
    assert "ALTER TABLE public.partners RENAME COLUMN site TO website;\n" in changed.text.stdout
    assert (
        "-- LOSES DATA: 0 values of column public.partners.gone\n"
        "ALTER TABLE public.partners DROP COLUMN gone;\n"
    ) in changed.text.stdout
    [loss] = changed.facts["losses"]
    assert (loss["name"], loss["number"]) == ("public.partners.gone", 0)


@pytest.mark.same_on_every_version
def test_shows_the_sql_that_brings_it_back_and_runs_none_of_it(
    changed: Changed, zygote: Zygote
) -> None:
    assert "\nDROP INDEX public.by_hand;\n" in changed.text.stdout
    assert "nothing was run on this database" in changed.text.stdout
    with temporary_database(changed.database.name) as database:
        assert catalog(database.url) == changed.after
        execute(database.url, *changed.facts["sql"], "DROP COLLATION by_hand")
        assert catalog(database.url) == changed.before
        assert drift(database, zygote).code == 0


def test_a_restored_backup_has_no_drift(
    template: Database, other_database: Database, zygote: Zygote
) -> None:
    """PostgreSQL prints its expressions otherwise, also in pg_dump."""
    restore(template, other_database, rows=True)
    completed = drift(other_database, zygote, "--strict")
    assert completed.code == 0, completed.output
    assert completed.stdout.startswith("no difference  ")
    assert f"compared with what {len(MIGRATIONS)} applied" in completed.stdout
