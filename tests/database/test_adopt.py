"""``partman adopt``: a database that was there before, proven and then recorded."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from partman.migration import history, lock
from tests.catalog import catalog, read
from tests.database.test_schema import (
    DEFAULT_DATA,
    INDEXES,
    INITIAL_SCHEMA,
    STORY_001,
    STORY_002,
)
from tests.faults.processes import Process, Zygote, wait_until
from tests.project import Project
from tests.support import MIGRATIONS, Completed, Database, execute, query

# What the application had stored, before there were migrations.
ROWS = """
INSERT INTO organizations (id, name, subdomain) VALUES
    ('10000000-0000-4000-8000-000000000001', 'Initech', 'initech');
INSERT INTO users (id, organization_id, email, password_hash, first_name, last_name, role) VALUES
    ('10000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001',
     'bill@initech.example', '!', 'Bill', 'Lumbergh', 'admin');
INSERT INTO partners (id, organization_id, name, domain, commission_structure) VALUES
    ('10000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000001',
     'Lacework', 'security', '{"type": "referral", "rate": 15}');
INSERT INTO opportunities (organization_id, partner_id, assigned_user_id, customer_name, deal_value,
    stage, expected_close_date)
SELECT organization_id, p.id, u.id, 'Globex', 4200.50, 'proposal', '2026-12-24'
FROM partners p JOIN users u USING (organization_id);
INSERT INTO quarterly_goals (organization_id, user_id, quarter, year, goal_type, target_value)
SELECT organization_id, id, 4, 2026, 'revenue', 100000 FROM users;
INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)
SELECT organization_id, id, 'deal', 'opportunity', 'Late', 'It is late' FROM users;
"""

# The same as the migrations', but for one thing each; and how that is told.
WRONG = {
    "a missing index": (
        "DROP INDEX idx_alerts_user_status",
        ["missing   index public.idx_alerts_user_status"],
    ),
    "other columns in an index": (
        "DROP INDEX idx_partners_org_domain;"
        "CREATE INDEX idx_partners_org_domain ON partners (domain, organization_id)",
        ["different index public.idx_partners_org_domain: definition"],
    ),
    "another default": (
        "ALTER TABLE organizations ALTER max_users SET DEFAULT 25",
        ["different column public.organizations.max_users: default"],
    ),
    "another type": (
        "ALTER TABLE partners ALTER website TYPE varchar(255)",
        ["different column public.partners.website: type"],
    ),
    "NOT NULL dropped": (
        "ALTER TABLE users ALTER email DROP NOT NULL",
        ["different column public.users.email: null"],
    ),
    "an extra column": (
        "ALTER TABLE partners ADD tier text",
        ["extra     column public.partners.tier"],
    ),
    "a missing foreign key": (
        "ALTER TABLE alerts DROP CONSTRAINT alerts_user_id_fkey",
        ["missing   constraint alerts_user_id_fkey on public.alerts"],
    ),
    "another ON DELETE": (
        "ALTER TABLE opportunities DROP CONSTRAINT opportunities_assigned_user_id_fkey,"
        " ADD FOREIGN KEY (assigned_user_id) REFERENCES users (id) ON DELETE CASCADE",
        ["different constraint opportunities_assigned_user_id_fkey on public.opportunities"],
    ),
    "a renamed constraint": (
        "ALTER TABLE users RENAME CONSTRAINT users_organization_id_email_key TO users_email",
        [
            "extra     constraint users_email on public.users",
            "missing   constraint users_organization_id_email_key on public.users",
        ],
    ),
    "row level security off": (
        "ALTER TABLE quarterly_goals DISABLE ROW LEVEL SECURITY",
        ["different table public.quarterly_goals: row_security"],
    ),
    "an extra trigger": (
        "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ["extra     trigger touch on public.users"],
    ),
    "a view": (
        "CREATE VIEW open_opportunities AS SELECT * FROM opportunities WHERE status = 'open'",
        ["extra     view public.open_opportunities"],
    ),
    "a right for everybody": (
        "GRANT SELECT ON users TO PUBLIC",
        ["extra     grant PUBLIC on table public.users"],
    ),
    "a foreign key that is not valid": (
        "ALTER TABLE alerts DROP CONSTRAINT alerts_user_id_fkey, ADD FOREIGN KEY (user_id)"
        " REFERENCES users (id) ON DELETE CASCADE NOT VALID",
        ["different constraint alerts_user_id_fkey on public.alerts: valid"],
    ),
}


@pytest.fixture
def story(empty_database: Database) -> Database:
    """The story's database, as init.sql and the application have left it."""
    execute(empty_database.url, STORY_001, STORY_002, ROWS)
    return empty_database


def adopt(database: Database, zygote: Zygote, *arguments: str, **variables: str) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"} | variables
    return zygote.run("partman", "adopt", *arguments, environment=environment)


def forwards(database: Database, zygote: Zygote) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"}
    return zygote.run("piccolo", "migrations", "forwards", "all", environment=environment)


def recorded(database: Database) -> list[str]:
    """What the ledger has; nothing either where there is no ledger, and no history."""
    if not query(database.url, "SELECT FROM pg_class WHERE relname = 'migration'"):
        assert not query(database.url, "SELECT FROM pg_class WHERE relname = 'migration_history'")
        return []
    return [row["name"] for row in query(database.url, "SELECT name FROM migration ORDER BY id")]


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
            rf"^\d\d\d objects compared: equal to {INDEXES} \(indexes\)\.$",
            completed.stdout,
            re.MULTILINE,
        )
        assert "2 migrations recorded as adopted." in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]
        assert contents(story) == before

        assert forwards(story, zygote).code == 0
        assert read(story.url) == read(template.url)
        after = contents(story)
        assert all(row in after[table] for table, rows in before.items() for row in rows)
        assert len(after["organizations"]) == 2, "the default organization came with its migration"

    def test_is_told_in_the_history(self, story: Database, zygote: Zygote) -> None:
        assert adopt(story, zygote).code == 0
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
        assert "2 applied, 5 pending" in status.stdout

    def test_can_be_taken_back_in_the_right_order(self, story: Database, zygote: Zygote) -> None:
        """Piccolo goes by the times in its ledger."""
        assert adopt(story, zygote).code == 0
        rows = query(story.url, "SELECT ran_on FROM migration ORDER BY name")
        times = [row["ran_on"] for row in rows]
        assert times == sorted(set(times))
        backwards = ("piccolo", "migrations", "backwards", "partman", "--auto_agree")
        assert zygote.run(*backwards, environment=story.environment).code == 0
        assert recorded(story) == [INITIAL_SCHEMA]

    def test_says_what_changes_rows_only_and_lets_it_run(
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

    def test_can_be_recorded_through_what_changes_rows_only(
        self, story: Database, zygote: Zygote
    ) -> None:
        completed = adopt(story, zygote, "--through", DEFAULT_DATA)
        assert completed.code == 0, completed.output
        assert f"is taken for done: {DEFAULT_DATA}" in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES, DEFAULT_DATA]
        assert forwards(story, zygote).code == 0
        assert len(query(story.url, "SELECT FROM organizations")) == 1

    def test_is_not_recorded_through_what_it_is_not(self, story: Database, zygote: Zygote) -> None:
        for wrong in (INITIAL_SCHEMA, MIGRATIONS[-1], "nothing"):
            completed = adopt(story, zygote, "--through", wrong)
            assert completed.code == 1
            assert f"not what {wrong} builds" in completed.stderr
            assert f"through: {INDEXES}, {DEFAULT_DATA}" in completed.stderr
            assert recorded(story) == []

    def test_a_dry_run_tells_the_same_and_writes_nothing(
        self, story: Database, zygote: Zygote
    ) -> None:
        before = read(story.url, bookkeeping=True)
        completed = adopt(story, zygote, "--dry-run")
        assert completed.code == 0, completed.output
        assert f"equal to {INDEXES}" in completed.stdout
        assert "2 migrations to record; nothing was recorded." in completed.stdout
        assert read(story.url, bookkeeping=True) == before

    def test_prints_json_for_scripts(self, story: Database, zygote: Zygote) -> None:
        completed = adopt(story, zygote, "--json")
        assert completed.code == 0
        assert completed.stderr == ""
        facts = json.loads(completed.stdout)
        assert facts["equal"] is facts["recorded"] is True
        assert facts["boundary"] == INDEXES
        assert facts["objects"] > 50
        assert [one["migration"] for one in facts["migrations"]] == [INITIAL_SCHEMA, INDEXES]
        assert [one["migration"] for one in facts["pending"]] == [DEFAULT_DATA]
        assert facts["differences"] == facts["extra"] == []


@pytest.mark.parametrize("name", WRONG)
def test_one_small_thing_is_refused_and_named(story: Database, zygote: Zygote, name: str) -> None:
    change, told = WRONG[name]
    execute(story.url, change)
    before = read(story.url, bookkeeping=True)
    completed = adopt(story, zygote)
    assert completed.code == 1, completed.output
    headlines = [line for line in completed.stdout.splitlines() if re.match(r"\w+ +\w", line)]
    differences = [
        line for line in headlines if line.startswith(("missing ", "extra ", "different "))
    ]
    assert len(differences) == len(told)
    assert all(
        found.startswith(expected)
        for found, expected in zip(sorted(differences), sorted(told), strict=True)
    )
    assert f"The nearest is {INDEXES} (indexes)" in completed.stdout
    assert "Nothing was recorded" in completed.stdout
    assert read(story.url, bookkeeping=True) == before


class TestWhatIsExtra:
    EXTRA = "CREATE VIEW emails AS SELECT email FROM users"

    def test_passes_when_it_is_allowed_and_is_listed(self, story: Database, zygote: Zygote) -> None:
        execute(story.url, self.EXTRA)
        refused = adopt(story, zygote)
        assert refused.code == 1
        assert "partman adopt --allow-extra" in refused.stdout
        completed = adopt(story, zygote, "--allow-extra")
        assert completed.code == 0, completed.output
        assert completed.stdout.startswith("extra     view public.emails\n")
        assert "beside 1 extra object." in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]

    def test_does_not_make_it_an_older_version_of_which_the_rest_would_be_extra(
        self, story: Database, zygote: Zygote
    ) -> None:
        assert adopt(story, zygote, "--allow-extra").code == 0
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]

    def test_does_not_make_up_for_what_is_missing(self, story: Database, zygote: Zygote) -> None:
        execute(story.url, self.EXTRA, "ALTER TABLE users ALTER email DROP NOT NULL")
        completed = adopt(story, zygote, "--allow-extra")
        assert completed.code == 1
        assert "different column public.users.email: null" in completed.stdout
        assert recorded(story) == []

    def test_alone_is_no_database_to_adopt(self, empty_database: Database, zygote: Zygote) -> None:
        execute(empty_database.url, "CREATE TABLE somebody_elses (id int)")
        completed = adopt(empty_database, zygote, "--allow-extra")
        assert completed.code == 1
        assert f"The nearest is {INITIAL_SCHEMA}" in completed.stdout
        assert recorded(empty_database) == []


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
        assert "The ledger has 7 migrations" in completed.stderr
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
    assert "2026-01-01 was begun and not finished" in completed.stderr
    assert query(project.database.url, "SELECT * FROM migration") == []


@asynccontextmanager
async def held_history(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody keeps others from writing the history, for the duration of a block."""
    holder = await asyncpg.connect(database.url)
    try:
        await holder.execute(history.TABLE)
        await holder.execute("BEGIN; LOCK TABLE migration_history IN EXCLUSIVE MODE")
        yield holder
    finally:
        await holder.close()


async def adopting(database: Database, zygote: Zygote) -> Process:
    """An adoption that waits until it may write the history."""
    patient = database.environment | {"PARTMAN_LOCK_TIMEOUT": "60"}
    process = zygote.start("partman", "adopt", environment=patient)
    await waiting_for(database, "migration_history")
    return process


def test_killed_in_the_middle_nothing_is_recorded(story: Database, zygote: Zygote) -> None:
    """It is stopped after the first row of the ledger, and before that of the history."""

    async def run() -> None:
        async with held_history(story):
            process = await adopting(story, zygote)
            process.kill()
            assert process.wait().code < 0

    asyncio.run(run())
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration'") == []
    assert query(story.url, "SELECT * FROM migration_history") == []
    assert adopt(story, zygote).code == 0
    assert recorded(story) == [INITIAL_SCHEMA, INDEXES]


async def waiting_for(database: Database, table: str) -> None:
    def somebody_waits() -> bool:
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass"
        return bool(query(database.url, waiting, table))

    await asyncio.to_thread(wait_until, somebody_waits, f"somebody waits for {table}")


def test_a_lost_connection_is_no_traceback(story: Database, zygote: Zygote) -> None:
    async def run() -> Completed:
        async with held_history(story) as holder:
            process = await adopting(story, zygote)
            await holder.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'partman adopt'"
            )
            return await asyncio.to_thread(process.wait)

    completed = asyncio.run(run())
    assert completed.code == 4
    assert "partman status" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert query(story.url, "SELECT * FROM migration_history") == []


def test_a_history_that_somebody_holds_is_not_waited_for_for_long(
    story: Database, zygote: Zygote
) -> None:
    async def run() -> Completed:
        async with held_history(story):
            return await asyncio.to_thread(adopt, story, zygote, PARTMAN_LOCK_TIMEOUT="0.1")

    completed = asyncio.run(run())
    assert completed.code == 8
    assert "Type the command again later" in completed.stderr
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration'") == []


def test_a_role_that_may_not_write_the_ledger_is_told(story: Database, zygote: Zygote) -> None:
    ledger = "CREATE TABLE migration (id serial, name text, app_name text, ran_on timestamp)"
    execute(story.url, ledger, "REVOKE INSERT ON migration FROM CURRENT_USER")
    completed = adopt(story, zygote)
    assert completed.code == 6
    assert "permission denied for table migration" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert query(story.url, "SELECT FROM pg_class WHERE relname = 'migration_history'") == []


def test_does_not_wait_for_ever_for_another_run(story: Database, zygote: Zygote) -> None:
    async def run() -> Completed:
        holder = await asyncpg.connect(story.url)
        try:
            await lock.acquire(holder, patience=0, report=print)
            return await asyncio.to_thread(adopt, story, zygote, PARTMAN_LOCK_WAIT="0.1")
        finally:
            await holder.close()

    completed = asyncio.run(run())
    assert completed.code == 9
    assert recorded(story) == []


def test_a_change_while_the_migrations_were_tried_is_noticed(
    story: Database, zygote: Zygote
) -> None:
    """It is stopped before it records; what it had read is not there any more by then."""

    async def run() -> Completed:
        holder = await asyncpg.connect(story.url)
        try:
            await holder.execute(
                "CREATE TABLE migration (id serial primary key, name text,"
                " app_name text, ran_on timestamp)"
            )
            await holder.execute("BEGIN; LOCK TABLE migration IN EXCLUSIVE MODE")
            process = zygote.start(
                *("partman", "adopt"),
                environment=story.environment | {"PARTMAN_LOCK_TIMEOUT": "60"},
            )
            await waiting_for(story, "migration")
            await holder.execute("CREATE INDEX by_hand ON partners (name)")
            await holder.execute("COMMIT")
            return process.wait()
        finally:
            await holder.close()

    completed = asyncio.run(run())
    assert completed.code == 8, completed.output
    assert "changed since it was read" in completed.stderr
    assert recorded(story) == []


def test_what_changes_rows_only_in_between_is_taken_for_done(project: Project) -> None:
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


def test_the_sql_that_is_shown_makes_it_equal(story: Database, zygote: Zygote) -> None:
    # Two of them are about the same key.
    wrong = [change for name, (change, _) in WRONG.items() if name != "a missing foreign key"]
    execute(story.url, *wrong)
    refused = adopt(story, zygote, "--json")
    assert refused.code == 1
    assert len(json.loads(refused.stdout)["differences"]) > len(wrong)
    execute(story.url, *json.loads(refused.stdout)["sql"])
    assert adopt(story, zygote).code == 0


def test_the_owner_of_the_database_may_be_another_role_than_that_of_the_tables(
    story: Database, zygote: Zygote
) -> None:
    other = f"owner_{story.name}"
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
