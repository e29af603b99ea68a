"""``partman verify``: every migration up, down, up, on a scratch database with rows in it."""

import json
from pathlib import Path

import asyncpg
import pytest

from partman.migration.ledger.checksum import checksum
from seeds.identity import FIRST_ID
from seeds.rows_for_verify import fill
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import CONSOLE_TABLES, MIGRATIONS, SIX_TABLES, Database, query

pytestmark = pytest.mark.same_on_every_version

ONE = ["CREATE TABLE one (id int PRIMARY KEY, name text)"]
ROWS = ["INSERT INTO one SELECT n, 'name ' || n FROM generate_series(1, 10) n"]


class TestTheProjectsOwn:
    def test_migrations_stand_it_with_rows_in_every_table(
        self, template: Database, zygote: Zygote
    ) -> None:
        completed = zygote.run("partman", "verify", environment=template.environment)
        assert completed.code == 0, completed.output
        result, _, *verified = completed.stdout.splitlines()
        assert [line.split()[0] for line in verified] == list(MIGRATIONS)
        # The first one makes the tables; whatever comes after it finds them full.
        filled = [int(line.split()[-2]) for line in verified[1:]]
        assert set(filled) == {len(SIX_TABLES), len(SIX_TABLES | CONSOLE_TABLES)}
        assert result.startswith(f"verified  {len(MIGRATIONS)} migrations: ")
        assert completed.stderr == ""

    def test_migrations_can_be_verified_from_one_on_and_the_database_is_left_alone(
        self, empty_database: Database, zygote: Zygote
    ) -> None:
        verify = ("partman", "verify", "--from", MIGRATIONS[-1], "--json")
        completed = zygote.run(*verify, environment=empty_database.environment)
        assert completed.code == 0, completed.output
        facts = json.loads(completed.stdout)
        [last] = facts["verified"]
        assert last["migration"] == MIGRATIONS[-1]
        assert last["tables_with_rows"] == len(SIX_TABLES | CONSOLE_TABLES)
        assert last["tables_without_rows"] == []
        assert last["rows"] > 100
        assert facts["failure"] is None
        assert query(empty_database.url, "SELECT FROM pg_class WHERE relname = 'migration'") == []


class TestFailures:
    """What the migration that fails is made of, and what is told of it."""

    @pytest.fixture
    def filled(self, project: Project) -> Project:
        """A table, and a migration that puts rows into it."""
        project.write("2026-01-01", ONE, ["DROP TABLE one"])
        project.write("2026-01-02", ROWS, ["DELETE FROM one"])
        return project

    @pytest.mark.parametrize(
        ("up", "down", "direction", "told"),
        [
            pytest.param(
                ["CREATE INDEX left_behind ON one (name)"],
                [],
                "down",
                "extra     index public.left_behind",
                id="irreversible",
            ),
            pytest.param(
                ["ALTER TABLE one ALTER name SET DEFAULT 'x'", "CREATE TABLE two ()"],
                ["DROP TABLE two"],
                "down",
                "different column public.one.name: default",
                id="half reversible",
            ),
            pytest.param(
                ["CREATE TABLE two ()"],
                ["SELECT 1 / 0"],
                "down",
                "division by zero",
                id="an error on the way down",
            ),
            pytest.param(["SELECT 1 / 0"], [], "up", "division by zero", id="an error"),
            pytest.param(
                ["CREATE SEQUENCE IF NOT EXISTS two", "DROP TABLE IF EXISTS three"],
                ["DROP SEQUENCE two", "CREATE TABLE three ()"],
                "down",
                "extra     table public.three",
                id="brings back what was not there",
            ),
            pytest.param(
                ["UPDATE one SET name = upper(name) WHERE id <= 3"],
                ["UPDATE one SET name = lower(name)"],
                "up",
                "rows      table one: 3 of 10 rows not as before in name",
                id="changes rows",
            ),
            pytest.param(
                ["DELETE FROM one WHERE id > 6"],
                [],
                "up",
                "rows      table one: 4 of 10 rows not as before\n",
                id="loses rows",
            ),
            pytest.param(
                ["INSERT INTO one VALUES (11), (12)"],
                [],
                "down",
                "rows      table one: 2 rows too many",
                id="leaves rows behind",
            ),
            pytest.param(
                ["ALTER TABLE one ALTER id TYPE bigint"],
                ["ALTER TABLE one ALTER id TYPE int", "DELETE FROM one WHERE id = 5"],
                "down",
                "rows      table one: 1 of 10 rows not as before",
                id="loses a row on the way down",
            ),
            pytest.param(
                ["ALTER TABLE one ALTER name TYPE varchar(5) USING left(name, 5)"],
                ["ALTER TABLE one ALTER name TYPE text"],
                "down",
                "rows      table one: 10 of 10 rows not as before in name",
                id="cuts values off",
            ),
            pytest.param(
                ["ALTER TABLE one RENAME name TO title", "UPDATE one SET title = '' WHERE id = 1"],
                ["ALTER TABLE one RENAME title TO name"],
                "up",
                "rows      table one: 1 of 10 rows not as before in name",
                id="changes a renamed column",
            ),
        ],
    )
    def test_are_named(
        self, filled: Project, up: list[str], down: list[str], direction: str, told: str
    ) -> None:
        filled.write("2026-01-03", up, down)
        filled.write("2026-01-04", ["CREATE TABLE never_reached ()"])
        completed = filled.partman("verify")
        assert completed.code == 1, completed.output
        assert "2026-01-02  extra_2026-01-02: up, down, up" in completed.stdout
        assert completed.stdout.startswith(f"{direction} failed  2026-01-03  extra_2026-01-03: "), (
            completed.stdout
        )
        assert told in completed.stdout
        assert "extra_2026-01-03.py" in completed.stdout
        assert "2026-01-04" not in completed.stdout
        assert "Traceback" not in completed.output

    def test_a_different_second_result_is_reported(self, filled: Project) -> None:
        """A sequence is not reset by going back."""
        create = "DO $$ BEGIN EXECUTE format('CREATE TABLE t%s ()', nextval('s')); END $$"
        drop = "DO $$ BEGIN EXECUTE format('DROP TABLE t%s', (SELECT last_value FROM s)); END $$"
        filled.write("2026-01-03", ["CREATE SEQUENCE s"], ["DROP SEQUENCE s"])
        filled.write("2026-01-04", [create], [drop])
        completed = filled.partman("verify")
        assert completed.code == 1
        assert completed.stdout.startswith("up again failed  2026-01-04  extra_2026-01-04: ")
        assert "missing   table public.t1\n" in completed.stdout
        assert "extra     table public.t2\n" in completed.stdout

    def test_are_found_in_online_migrations_too(self, filled: Project) -> None:
        filled.write(
            "2026-01-03",
            ["CREATE INDEX CONCURRENTLY by_name ON one (name)", "UPDATE one SET name = 'x'"],
            ["DROP INDEX CONCURRENTLY by_name"],
            more="manager.online()",
        )
        completed = filled.partman("verify")
        assert completed.code == 1
        assert "rows      table one: 10 of 10 rows not as before in name" in completed.stdout

    def test_come_as_json_for_scripts(self, filled: Project) -> None:
        filled.write(
            "2026-01-03",
            ["CREATE INDEX left_behind ON one (name)", "INSERT INTO one VALUES (11)"],
        )
        completed = filled.partman("verify", "--json")
        assert completed.code == 1
        facts = json.loads(completed.stdout)
        assert [each["migration"] for each in facts["verified"]] == ["2026-01-01", "2026-01-02"]
        failure = facts["failure"]
        assert (failure["app"], failure["migration"]) == ("extra", "2026-01-03")
        assert failure["direction"] == "down"
        [difference] = failure["differences"]
        assert (difference["verdict"], difference["name"]) == ("extra", "public.left_behind")
        assert failure["rows"] == [
            {"table": "one", "columns": [], "before": 10, "lost": 0, "added": 1}
        ]

    def test_leave_no_scratch_database(self, tmp_path: Path, server: str, zygote: Zygote) -> None:
        project = Project.create(tmp_path, Database(server), zygote)
        project.write("2026-01-01", ["SELECT 1 / 0"])
        before = query(server, "SELECT datname FROM pg_database")
        assert project.partman("verify").code == 1
        assert query(server, "SELECT datname FROM pg_database") == before


class TestWhatIsMeant:
    def test_rows_that_a_migration_rewrites_on_purpose_are_named_in_it(
        self, project: Project
    ) -> None:
        project.write("2026-01-01", [*ONE, *ROWS], ["DROP TABLE one"])
        up = ["UPDATE one SET name = upper(name)"]
        project.write("2026-01-02", up)
        assert project.partman("verify").code == 1
        file = project.file("2026-01-02")
        text = file.read_text()
        file.write_text(text.replace("DESCRIPTION =", 'REWRITES = ["one.name"]\nDESCRIPTION =', 1))
        completed = project.partman("verify")
        assert completed.code == 0, completed.output

        # Only what it names.
        project.write("2026-01-03", ["UPDATE one SET id = -id"])
        other = project.file("2026-01-03")
        rewrites = 'REWRITES = ["one.name"]\nDESCRIPTION ='
        other.write_text(other.read_text().replace("DESCRIPTION =", rewrites, 1))
        completed = project.partman("verify")
        assert completed.code == 1
        assert "10 of 10 rows not as before in id" in completed.stdout

    def test_to_name_them_is_no_edit_of_an_applied_migration(self, project: Project) -> None:
        file = project.write("2026-01-01", ONE)
        before = checksum(file)
        file.write_text(file.read_text() + '\nREWRITES = ["one.name"]\n')
        assert checksum(file) == before

    def test_columns_that_come_and_go_take_their_values_with_them(self, project: Project) -> None:
        project.write("2026-01-01", [*ONE, *ROWS], ["DROP TABLE one"])
        project.write(
            "2026-01-02",
            ["ALTER TABLE one DROP name", "ALTER TABLE one ADD price int DEFAULT 1"],
            ["ALTER TABLE one DROP price", "ALTER TABLE one ADD name text"],
        )
        completed = project.partman("verify")
        assert completed.code == 0, completed.output
        assert "10 rows in 1 table" in completed.stdout

    def test_another_type_may_print_values_in_another_way(self, project: Project) -> None:
        project.write("2026-01-01", [*ONE, *ROWS], ["DROP TABLE one"])
        project.write(
            "2026-01-02",
            ["ALTER TABLE one ALTER id TYPE numeric(10, 2)"],
            ["ALTER TABLE one ALTER id TYPE int"],
        )
        completed = project.partman("verify")
        assert completed.code == 0, completed.output

    def test_rows_that_go_on_purpose_are_named_by_their_table(self, project: Project) -> None:
        project.write("2026-01-01", [*ONE, *ROWS], ["DROP TABLE one"])
        file = project.write("2026-01-02", ["DELETE FROM one WHERE id > 6"])
        completed = project.partman("verify")
        assert completed.code == 1
        assert 'REWRITES = ["one"]' in completed.stdout
        text = file.read_text().replace("DESCRIPTION =", 'REWRITES = ["one"]\nDESCRIPTION =', 1)
        file.write_text(text)
        assert project.partman("verify").code == 0

    def test_a_table_without_rows_is_reported(self, project: Project) -> None:
        project.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
        project.write("2026-01-02", ["CREATE TABLE two (id int)"], ["DROP TABLE two"])
        completed = project.partman("verify")
        assert completed.code == 0, completed.output
        assert "not known to keep them: one." in completed.stdout


_OFFERS = """
from partman.apps import PartmanConfig
PARTMAN_CONFIG = PartmanConfig(rows="{app}.rows:fill")
"""

_FILL = """
async def fill(connection):
    if await connection.fetchval("SELECT to_regclass('{table}') IS NOT NULL"):
        await connection.execute("{statement}")
"""


class TestRowsThatAppsOffer:
    def offer(self, project: Project, app: str, table: str, statement: str) -> None:
        folder = project.folder / app
        app_module = folder / "piccolo_app.py"
        app_module.write_text(app_module.read_text() + _OFFERS.format(app=app))
        (folder / "rows.py").write_text(_FILL.format(table=table, statement=statement))

    def test_are_in_the_tables(self, project: Project) -> None:
        self.offer(
            project, "extra", "one", "INSERT INTO one VALUES (1, 'a') ON CONFLICT DO NOTHING"
        )
        project.write("2026-01-01", ONE, ["DROP TABLE one"])
        up, down = ["UPDATE one SET name = 'b'"], ["UPDATE one SET name = 'a'"]
        project.write("2026-01-02", up, down)
        completed = project.partman("verify")
        assert completed.code == 1
        assert "rows      table one: 1 of 1 row not as before in name" in completed.stdout
        project.file("2026-01-02").unlink()
        completed = project.partman("verify")
        assert completed.code == 0, completed.output
        assert "objects and all rows as they should be" in completed.stdout
        assert "not verified" not in completed.stdout

    def test_of_several_apps_go_in_in_piccolos_order(self, project: Project) -> None:
        """Though it is registered first, the one depends on the other."""
        other = project.folder / "other"
        (other / "piccolo_migrations").mkdir(parents=True)
        (other / "piccolo_migrations" / "__init__.py").touch()
        (other / "__init__.py").touch()
        app = (project.folder / "extra" / "piccolo_app.py").read_text()
        (other / "piccolo_app.py").write_text(app.replace('"extra"', '"other"'))
        (project.folder / "extra" / "piccolo_app.py").write_text(
            app.replace('"extra",', '"extra", migration_dependencies=["other.piccolo_app"],')
        )
        conf = project.folder / "extra_conf.py"
        both = '["extra.piccolo_app", "other.piccolo_app"]'
        conf.write_text(conf.read_text().replace('["extra.piccolo_app"]', both))
        project.write(
            "2026-01-01",
            ["CREATE TABLE one (id int PRIMARY KEY)", "CREATE TABLE two (id int REFERENCES one)"],
            ["DROP TABLE two", "DROP TABLE one"],
        )
        project.write("2026-01-02", ["ALTER TABLE two ADD a int"], ["ALTER TABLE two DROP a"])
        self.offer(project, "other", "one", "INSERT INTO one VALUES (1) ON CONFLICT DO NOTHING")
        self.offer(project, "extra", "two", "INSERT INTO two VALUES (1)")
        completed = project.partman("verify", "--json")
        assert completed.code == 0, completed.output
        facts = json.loads(completed.stdout)
        assert facts["rows_of"] == ["other", "extra"]
        assert facts["verified"][-1]["tables_with_rows"] == 2

    def test_that_cannot_be_inserted_are_an_error_of_one_line(self, project: Project) -> None:
        self.offer(project, "extra", "one", "INSERT INTO one VALUES (1 / 0, 'a')")
        project.write("2026-01-01", ONE, ["DROP TABLE one"])
        project.write(
            "2026-01-02", ["CREATE INDEX one_name ON one (name)"], ["DROP INDEX one_name"]
        )
        completed = project.partman("verify")
        assert completed.code == 1
        [line] = completed.stderr.splitlines()
        assert "The rows of the app extra could not be inserted: DivisionByZeroError" in line

    def test_are_missed_when_there_are_none(self, project: Project) -> None:
        """Rows that a migration itself inserts are compared all the same."""
        project.write("2026-01-01", [*ONE, *ROWS], ["DROP TABLE one"])
        project.write(
            "2026-01-02", ["CREATE INDEX one_name ON one (name)"], ["DROP INDEX one_name"]
        )
        completed = project.partman("verify")
        assert completed.code == 0, completed.output
        assert "10 rows in 1 table" in completed.stdout
        assert "all rows" not in completed.stdout
        assert "Rows were not verified, except for those that the migrations insert: no app" in (
            completed.stdout
        )
        assert json.loads(project.partman("verify", "--json").stdout)["rows_of"] == []


class TestRowsForASchemaThatIsNotTheNewest:
    async def test_rows_fill_existing_columns_and_the_rest_later(self, database: Database) -> None:
        connection = await asyncpg.connect(database.url)

        async def rows(table: str) -> int:
            seeded = f"SELECT count(*) FROM {table} WHERE id >= $1"
            found: int = await connection.fetchval(seeded, FIRST_ID)
            return found

        try:
            await connection.execute(
                "ALTER TABLE partners DROP website;"
                "ALTER TABLE alerts ADD CONSTRAINT none CHECK (title = '')"
            )
            await fill(connection)
            partners = await rows("partners")
            assert partners > 1
            assert await rows("opportunities") == 40
            assert await rows("alerts") == 0
            await connection.execute("ALTER TABLE alerts DROP CONSTRAINT none")
            await fill(connection)
            assert await rows("alerts") > 0
            assert await rows("partners") == partners
            assert await rows("opportunities") == 40
        finally:
            await connection.close()


def test_an_unknown_migration_to_begin_with_is_refused(project: Project) -> None:
    project.write("2026-01-01", ONE)
    completed = project.partman("verify", "--from", "2025")
    assert completed.code == 1
    assert "There is no migration 2025. Nothing was run." in completed.stderr
    assert "List them with: partman status" in completed.stderr


def test_of_those_before_the_first_the_one_that_fails_is_named(project: Project) -> None:
    for number, statement in enumerate([*ONE[:1], "SELECT 1 / 0", "CREATE TABLE three ()"], 1):
        project.write(f"2026-01-0{number}", [statement])
    completed = project.partman("verify", "--from", "2026-01-03", "--json")
    assert completed.code == 1, completed.output
    failure = json.loads(completed.stdout)["failure"]
    assert (failure["migration"], failure["direction"]) == ("2026-01-02", "up")
    assert "division by zero" in failure["error"]
