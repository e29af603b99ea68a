"""``partman adopt``: a database that was there before, proven and then recorded."""

import json
import re

import asyncpg
import pytest

from tests.catalog import catalog, read
from tests.database.adopt_support import adopt, forwards, recorded
from tests.database.test_schema import DEFAULT_DATA, INDEXES, INITIAL_SCHEMA, STORY_001
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import MIGRATIONS, Database, execute, query

pytestmark = pytest.mark.same_on_every_version


def contents(database: Database) -> dict[str, list[asyncpg.Record]]:
    tables = ("organizations", "users", "partners", "opportunities", "quarterly_goals", "alerts")
    return {table: query(database.url, f"SELECT * FROM {table} ORDER BY id") for table in tables}


class TestTheStorysDatabase:
    def test_is_adopted_and_brought_to_the_newest_version_with_its_rows(
        self, story: Database, zygote: Zygote, template: Database
    ) -> None:
        before = contents(story)
        assert all(before.values())
        completed = adopt(story, zygote)
        assert completed.code == 0, completed.output
        assert re.search(
            rf"^equal  \d\d\d objects compared: equal to {INDEXES} \(indexes\)\.$",
            completed.stdout,
            re.MULTILINE,
        )
        assert "2 migrations recorded as adopted." in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]
        assert contents(story) == before
        self.is_recorded_in_the_history(story, zygote)
        self.can_be_taken_back_in_the_right_order(story, zygote)

        assert forwards(story, zygote).code == 0
        assert read(story.url) == read(template.url)
        after = contents(story)
        assert all(row in after[table] for table, rows in before.items() for row in rows)
        assert len(after["organizations"]) == 2, "the default organization came with its migration"

    def is_recorded_in_the_history(self, story: Database, zygote: Zygote) -> None:
        rows = query(
            story.url,
            "SELECT migration, direction, outcome, length(checksum) FROM migration_history"
            " ORDER BY id",
        )
        assert [tuple(row) for row in rows] == [
            (INITIAL_SCHEMA, "adopted", "done", 16),
            (INDEXES, "adopted", "done", 16),
        ]
        environment = story.environment | {"PARTMAN_ENV": "production"}
        status = zygote.run("partman", "status", environment=environment)
        assert "Note:" not in status.stdout
        assert f"2 applied, {len(MIGRATIONS) - 2} pending" in status.stdout

    def can_be_taken_back_in_the_right_order(self, story: Database, zygote: Zygote) -> None:
        """Piccolo goes by the times in its ledger."""
        rows = query(story.url, "SELECT ran_on FROM migration ORDER BY name")
        times = [row["ran_on"] for row in rows]
        assert times == sorted(set(times))
        backwards = ("piccolo", "migrations", "backwards", "partman", "--auto_agree")
        assert zygote.run(*backwards, environment=story.environment).code == 0
        assert recorded(story) == [INITIAL_SCHEMA]

    def test_names_rows_only_migrations_and_lets_them_run(
        self, story: Database, zygote: Zygote
    ) -> None:
        """Somebody has put in the default organization by hand: it is left alone."""
        by_hand = "INSERT INTO organizations (name, subdomain) VALUES ('Ours', 'default')"
        execute(story.url, by_hand)
        completed = adopt(story, zygote)
        assert f"still to run: {DEFAULT_DATA} (default data)." in completed.stdout
        assert forwards(story, zygote).code == 0
        names = query(story.url, "SELECT name FROM organizations WHERE subdomain = 'default'")
        assert [row["name"] for row in names] == ["Ours"]
        assert recorded(story) == list(MIGRATIONS)

    def test_can_be_recorded_through_rows_only_migrations(
        self, story: Database, zygote: Zygote
    ) -> None:
        completed = adopt(story, zygote, "--through", DEFAULT_DATA)
        assert completed.code == 0, completed.output
        assert f"is taken for done: {DEFAULT_DATA}" in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES, DEFAULT_DATA]
        assert forwards(story, zygote).code == 0
        assert len(query(story.url, "SELECT FROM organizations")) == 1

    def test_a_dry_run_tells_the_same_and_writes_nothing(
        self, story: Database, zygote: Zygote
    ) -> None:
        """As the refusal of a later migration does; and then it prints JSON for scripts."""
        before = read(story.url, bookkeeping=True)
        refused = adopt(story, zygote, "--through", MIGRATIONS[-1])
        assert refused.code == 1
        assert f"differs from the result of {MIGRATIONS[-1]}" in refused.stderr
        completed = adopt(story, zygote, "--dry-run")
        assert completed.code == 0, completed.output
        assert f"equal to {INDEXES}" in completed.stdout
        assert "2 migrations to record; nothing was recorded." in completed.stdout
        assert read(story.url, bookkeeping=True) == before
        self.prints_json_for_scripts(story, zygote)

    def prints_json_for_scripts(self, story: Database, zygote: Zygote) -> None:
        completed = adopt(story, zygote, "--json")
        assert completed.code == 0
        assert completed.stderr == ""
        facts = json.loads(completed.stdout)
        assert facts["equal"] is facts["recorded"] is True
        assert facts["boundary"] == INDEXES
        assert facts["objects"] > 50
        assert [each["migration"] for each in facts["migrations"]] == [INITIAL_SCHEMA, INDEXES]
        assert [each["migration"] for each in facts["pending"]] == [DEFAULT_DATA]
        assert facts["differences"] == facts["extra"] == []


def test_the_first_tables_alone_are_the_first_migration(
    empty_database: Database, zygote: Zygote
) -> None:
    execute(empty_database.url, STORY_001)
    assert adopt(empty_database, zygote).code == 0
    assert recorded(empty_database) == [INITIAL_SCHEMA]
    assert forwards(empty_database, zygote).code == 0


def test_a_database_that_lost_its_ledger_gets_it_back_with_the_rights_on_it(
    database: Database, zygote: Zygote
) -> None:
    """All seven migrations, four of them online; two let a role read the ledger, one the rest."""

    def rights() -> list[tuple[str, str]]:
        acl = (
            "SELECT relname, unnest(relacl)::text FROM pg_class WHERE relname = ANY ("
            "'{migration, migration_history, migration_step}') ORDER BY 1, 2"
        )
        return [tuple(row) for row in query(database.url, acl)]

    before, expected = catalog(database.url), rights()
    assert any("partman_seed" in right for _, right in expected)
    readable = {table for table, right in expected if right.startswith("partman_console=r/")}
    assert readable == {"migration", "migration_history", "migration_step"}
    execute(database.url, "DROP TABLE migration, migration_history, migration_step CASCADE")
    execute(database.url, "DROP FUNCTION migration_history_is_append_only")
    completed = adopt(database, zygote)
    assert completed.code == 0, completed.output
    assert f"taken for done: {DEFAULT_DATA}" in completed.stdout
    assert recorded(database) == list(MIGRATIONS)
    assert catalog(database.url) == before
    assert rights() == expected
    environment = database.environment | {"PARTMAN_ENV": "production"}
    assert zygote.run("partman", "drift", environment=environment).code == 0
    assert "No migrations need to be run" in forwards(database, zygote).stdout


def test_a_database_that_is_migrated_already_is_refused(database: Database, zygote: Zygote) -> None:
    before = query(database.url, "SELECT * FROM migration_history")
    for arguments in ((), ("--dry-run",)):
        completed = adopt(database, zygote, *arguments)
        assert completed.code == 1
        assert f"The ledger has {len(MIGRATIONS)} migrations" in completed.stderr
        assert "partman drift" in completed.stderr
    assert query(database.url, "SELECT * FROM migration_history") == before


def test_an_empty_database_is_refused(empty_database: Database, zygote: Zygote) -> None:
    completed = adopt(empty_database, zygote)
    assert completed.code == 1
    assert "piccolo migrations forwards all" in completed.stderr
    assert recorded(empty_database) == []


def test_one_that_is_half_way_through_an_online_migration_is_refused(project: Project) -> None:
    online = ["CREATE TABLE one (id int)", "SELECT 1 / 0"]
    project.write("2026-01-01", online, more="manager.online()")
    assert project.forwards().code == 7
    completed = project.partman("adopt")
    assert completed.code == 1
    assert "2026-01-01 was started and not finished" in completed.stderr
    assert query(project.database.url, "SELECT * FROM migration") == []


def test_a_rows_only_migration_in_between_counts_as_applied(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE one (id int)"])
    project.write("2026-01-02", ["UPDATE one SET id = 1"])
    project.write("2026-01-03", ["CREATE TABLE two (id int)"])
    execute(project.database.url, "CREATE TABLE one (id int)", "CREATE TABLE two (id int)")
    completed = project.partman("adopt")
    assert completed.code == 0, completed.output
    assert "taken for done: 2026-01-02." in completed.stdout
    assert [row["name"] for row in query(project.database.url, "SELECT name FROM migration")] == [
        "2026-01-01",
        "2026-01-02",
        "2026-01-03",
    ]


def test_the_owner_of_the_database_may_be_another_role_than_that_of_the_tables(
    story: Database, zygote: Zygote
) -> None:
    other = f"{story.name}_owner"
    execute(
        story.url,
        f"CREATE ROLE {other}",
        f"GRANT {other} TO CURRENT_USER",
        f"ALTER DATABASE {story.name} OWNER TO {other}",
    )
    try:
        completed = adopt(story, zygote)
        assert completed.code == 0, completed.output
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]
    finally:
        execute(
            story.url,
            f"ALTER DATABASE {story.name} OWNER TO CURRENT_USER",
            f"DROP ROLE {other}",
        )
