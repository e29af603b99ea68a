"""``partman adopt`` where stock Piccolo has migrated: there is a ledger, and no history."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.readiness import Watch
from tests.database.stock_project import StockProject, applied_by_stock
from tests.project import Project
from tests.support import execute

pytestmark = pytest.mark.same_on_every_version

MIGRATIONS = {
    "2026-01": ("CREATE TABLE one (id int PRIMARY KEY)", "DROP TABLE one"),
    "2026-02": ("CREATE TABLE two (one int REFERENCES one)", "DROP TABLE two"),
    "2026-03": ("INSERT INTO one VALUES (1)", "DELETE FROM one"),
    "2026-04": ("CREATE INDEX two_one ON two (one)", "DROP INDEX two_one"),
    "2026-05": ("ALTER TABLE one ADD name text", "ALTER TABLE one DROP name"),
    "2026-06": ("CREATE VIEW names AS SELECT name FROM one", "DROP VIEW names"),
    "2026-07": ("CREATE TABLE three (id int)", "DROP TABLE three"),
}
ADOPTED = [("extra", migration, "adopted") for migration in MIGRATIONS]


def write(stock: StockProject) -> None:
    for migration, (forwards, backwards) in MIGRATIONS.items():
        stock.write(migration, forwards, backwards)


@pytest.fixture
def stock() -> Iterator[StockProject]:
    """Seven migrations, applied by Piccolo's own engine; no test changes their files."""
    with applied_by_stock("stock", write) as stock:
        yield stock


@pytest.fixture
def own_stock(tmp_path: Path) -> Iterator[StockProject]:
    """The same, with files of its own."""
    with applied_by_stock("stock", write, tmp_path) as stock:
        yield stock


def files(stock: StockProject) -> list[MigrationFile]:
    return [MigrationFile("extra", name, "", stock.project.file(name)) for name in MIGRATIONS]


def test_is_taken_over_and_clean_afterwards(own_stock: StockProject) -> None:
    stock = own_stock

    async def ready() -> tuple[bool, list[str]]:
        connection = await asyncpg.connect(stock.project.database.url)
        try:
            found = await Watch(files(stock)).look(connection)
            return found.ready, [problem.kind for problem in found.problems]
        finally:
            await connection.close()

    assert asyncio.run(ready()) == (True, ["unrecorded"] * 7)
    noted = stock.project.partman("status")
    assert noted.stdout.count("Compare and record it: partman adopt") == 7
    ledger = stock.ledger
    _a_dry_run_and_json_tell_the_same_and_write_nothing(stock)

    adopted = stock.adopt()

    assert adopted.code == 0, adopted.output
    assert "equal to what the ledger's 7 migrations build." in adopted.stdout
    assert "Changes rows only, and is taken for done: 2026-03." in adopted.stdout
    assert "7 migrations recorded as adopted." in adopted.stdout
    assert stock.history == ADOPTED
    assert stock.ledger == ledger
    stock.is_clean()
    assert asyncio.run(ready()) == (True, [])
    _an_edit_of_a_file_is_noticed_from_then_on(stock)
    assert stock.project.backwards().code == 0
    assert stock.rows("SELECT to_regclass('three')") == [(None,)]


def _a_dry_run_and_json_tell_the_same_and_write_nothing(stock: StockProject) -> None:
    completed = stock.adopt("--dry-run", "--json")
    assert completed.code == 0, completed.output
    facts = json.loads(completed.stdout)
    assert (facts["equal"], facts["recorded"]) == (True, False)
    names = [{"app": "extra", "migration": migration} for migration in MIGRATIONS]
    assert facts["migrations"] == facts["applied"] == names
    assert facts["unproven"] == names[2:3]
    assert facts["notes"] == facts["differences"] == []
    assert stock.rows("SELECT to_regclass('migration_history')") == [(None,)]


def _an_edit_of_a_file_is_noticed_from_then_on(stock: StockProject) -> None:
    stock.write("2026-07", "CREATE TABLE three (id bigint)")
    refused = stock.project.partman("migrate")
    assert refused.code == 10
    assert "extra_2026-07.py was changed after it was applied" in refused.stderr
    stock.write("2026-07", *MIGRATIONS["2026-07"])


def test_is_refused_where_the_catalog_is_another_one(stock: StockProject) -> None:
    ledger = stock.ledger
    execute(stock.project.database.url, "DROP INDEX two_one", "CREATE TABLE four (id int)")
    refused = stock.adopt("--json")
    assert refused.code == 1, refused.output
    facts = json.loads(refused.stdout)
    assert (facts["equal"], facts["recorded"]) == (False, False)
    assert facts["ledger_ahead"] == facts["run_by_hand"] == []
    told = stock.adopt()
    assert re.findall(r"^(?:missing|extra) .*", told.stdout, re.MULTILINE) == [
        "extra     table public.four",
        "missing   index public.two_one",
    ]
    assert "is not what the ledger's 7 migrations build: 2 differences." in told.stdout
    assert "Nothing was recorded." in told.stdout
    assert (stock.history, stock.ledger) == ([], ledger)
    execute(stock.project.database.url, *facts["sql"])
    assert stock.adopt().code == 0
    assert stock.history == ADOPTED


def test_extra_objects_may_stay(stock: StockProject) -> None:
    execute(stock.project.database.url, "CREATE TABLE four (id int)")
    refused = stock.adopt()
    assert refused.code == 1
    assert "partman adopt --allow-extra" in refused.stdout
    assert stock.adopt("--allow-extra").code == 0
    assert stock.history == ADOPTED


def test_an_extension_of_piccolos_engine_is_given_to_partmans(own_stock: StockProject) -> None:
    execute(own_stock.project.database.url, "CREATE EXTENSION citext")
    refused = own_stock.adopt()
    assert refused.code == 1
    assert "extra     extension citext" in refused.stdout
    own_stock.project.configure('extensions=("citext",)')
    assert own_stock.adopt().code == 0
    own_stock.is_clean()


def test_a_ledger_without_files_is_refused_by_name(own_stock: StockProject) -> None:
    for name in ("2026-02", "2026-07"):
        own_stock.project.file(name).unlink()
    refused = own_stock.adopt()
    assert refused.code == 10
    for name in ("2026-02", "2026-07"):
        assert f"{name} of extra is applied, but there is no such file" in refused.stderr
    assert "nothing was recorded" in refused.stderr
    assert own_stock.history == []


def test_a_migration_that_is_in_the_ledger_twice_is_recorded_once(stock: StockProject) -> None:
    """Two runs of Piccolo's own engine at once, which takes no lock."""
    execute(
        stock.project.database.url,
        "INSERT INTO migration (name, app_name, ran_on)"
        " SELECT name, app_name, ran_on FROM migration WHERE name = '2026-03'",
    )
    adopted = stock.adopt()
    assert adopted.code == 0, adopted.output
    assert stock.history == ADOPTED
    stock.is_clean()


class TestPartOfIt:
    def test_that_has_no_history_is_recorded(self, project: Project) -> None:
        stock = StockProject.create(project)
        for number, (migration, (forwards, backwards)) in enumerate(MIGRATIONS.items()):
            stock.write(migration, forwards, backwards)
            if number == 3:
                stock.forwards()
        assert project.forwards().code == 0
        before = stock.history
        assert [row[1:] for row in before] == [
            ("2026-05", "forwards"),
            ("2026-06", "forwards"),
            ("2026-07", "forwards"),
        ]
        adopted = stock.adopt()
        assert adopted.code == 0, adopted.output
        assert "equal to what the ledger's 7 migrations build." in adopted.stdout
        assert "4 migrations recorded as adopted." in adopted.stdout
        assert stock.history == [*before, *ADOPTED[:4]]
        stock.is_clean()
        again = stock.adopt()
        assert again.code == 1
        assert "The ledger has 7 migrations, the last is 2026-07, and the history has all of" in (
            again.stderr
        )
        assert "partman drift" in again.stderr
        assert "--through" not in again.stderr

    def test_is_not_recorded_where_a_file_with_history_was_edited(
        self, own_stock: StockProject
    ) -> None:
        stock = own_stock
        stock.write("2026-08", "CREATE TABLE five (id int)")
        assert stock.project.forwards().code == 0
        stock.write("2026-08", "CREATE TABLE five (id bigint)")
        refused = stock.adopt()
        assert refused.code == 10
        assert "extra_2026-08.py was changed after it was applied" in refused.stderr
        assert [row[1] for row in stock.history] == ["2026-08"]


class TestALedgerThatIsAheadOfTheDatabase:
    def test_is_reported_with_the_next_command(self, stock: StockProject) -> None:
        execute(stock.project.database.url, "DROP TABLE three", "DROP VIEW names")
        refused = stock.adopt()
        assert refused.code == 1
        assert "does not have the result of 2026-06, 2026-07. Nothing was recorded." in (
            refused.stdout
        )
        assert stock.history == []
        remedy = refused.stdout.splitlines()[-1]
        assert remedy.startswith("DELETE FROM migration WHERE")
        execute(stock.project.database.url, remedy)
        assert stock.adopt().code == 0
        assert stock.history == ADOPTED[:5]
        assert stock.project.forwards().code == 0
        stock.is_clean()

    def test_all_commands_report_the_same(self, stock: StockProject) -> None:
        execute(
            stock.project.database.url, "DROP TABLE two, three", "DROP VIEW names", "DROP TABLE one"
        )
        refused = stock.adopt("--json")
        assert refused.code == 1
        ahead = [each["migration"] for each in json.loads(refused.stdout)["ledger_ahead"]]
        assert ahead == list(MIGRATIONS)
        told = stock.adopt().stdout
        assert told.count("Changes rows only, and may have been run") == 1
        assert "may have been run: 2026-03." in told


class TestADatabaseThatIsAheadOfTheLedger:
    @pytest.fixture
    def by_hand(self, own_stock: StockProject) -> StockProject:
        """Of three pending migrations, somebody has run the SQL of two."""
        stock = own_stock
        for name in ("four", "five", "six"):
            stock.write(f"2026-08-{name}", f"CREATE TABLE {name} (id int)", f"DROP TABLE {name}")
        # Their order is five, four, six.
        execute(
            stock.project.database.url, "CREATE TABLE five (id int)", "CREATE TABLE four (id int)"
        )
        return stock

    def test_is_refused_and_recorded_when_asked_for(self, by_hand: StockProject) -> None:
        refused = by_hand.adopt()
        assert refused.code == 1
        assert "it has the result of 2026-08-five, 2026-08-four, which is pending" in refused.stdout
        assert "type: partman adopt --through 2026-08-four" in refused.stdout
        assert "DROP TABLE" not in refused.stdout
        assert (by_hand.history, len(by_hand.ledger)) == ([], 7)

        adopted = by_hand.adopt("--through", "2026-08-four")

        assert adopted.code == 0, adopted.output
        assert "the ledger's 7 migrations and 2 pending ones build" in adopted.stdout
        assert "9 migrations recorded as adopted." in adopted.stdout
        assert [row[1] for row in by_hand.ledger][7:] == ["2026-08-five", "2026-08-four"]
        assert len(by_hand.history) == 9
        assert by_hand.project.forwards().code == 0
        by_hand.is_clean()

    def test_is_not_recorded_through_a_different_result(self, by_hand: StockProject) -> None:
        for wrong, said in (
            ("2026-08-five", "extra     table public.four"),
            ("2026-08-six", "missing   table public.six"),
        ):
            refused = by_hand.adopt("--through", wrong)
            assert refused.code == 1
            assert said in refused.stdout
        refused = by_hand.adopt("--through", "2026-07")
        assert refused.code == 1
        assert "2026-07 is not pending." in refused.stderr
        assert "2026-08-five, 2026-08-four, 2026-08-six" in refused.stderr
        assert (by_hand.history, len(by_hand.ledger)) == ([], 7)

    def test_is_recorded_where_all_of_the_ledger_has_a_history(self, by_hand: StockProject) -> None:
        execute(by_hand.project.database.url, "DROP TABLE five, four")
        assert by_hand.adopt().code == 0
        execute(
            by_hand.project.database.url, "CREATE TABLE five (id int)", "CREATE TABLE four (id int)"
        )
        refused = by_hand.adopt()
        assert refused.code == 1
        assert "partman adopt --through ID" in refused.stderr
        assert by_hand.adopt("--through", "2026-08-four").code == 0
        assert len(by_hand.history) == 9

    def test_differences_are_shown_even_if_a_pending_migration_fails(
        self, by_hand: StockProject
    ) -> None:
        by_hand.write("2026-08", "SELECT 1 / 0")
        refused = by_hand.adopt()
        assert refused.code == 1
        assert refused.stderr == ""
        assert "extra     table public.four" in refused.stdout


class TestSeveralApps:
    @pytest.fixture
    def shop(self, project: Project) -> StockProject:
        """A shop that depends on a blog, registered the wrong way round, with older IDs."""
        stock = StockProject.create(project)
        project.add_app("blog")
        project.add_app("shop", ["blog"])
        project.register("shop", "blog")
        stock.write("2026-03", "CREATE TABLE post (id int PRIMARY KEY)", app="blog")
        stock.write("2026-01", "CREATE TABLE item (post int REFERENCES post)", app="shop")
        stock.forwards()
        return stock

    def test_are_taken_over_in_piccolos_order(self, shop: StockProject) -> None:
        shop.write("2026-04", "CREATE TABLE author (id int PRIMARY KEY)", app="blog")
        shop.forwards("blog")
        adopted = shop.adopt()
        assert adopted.code == 0, adopted.output
        assert shop.history == [
            ("blog", "2026-03", "adopted"),
            ("shop", "2026-01", "adopted"),
            ("blog", "2026-04", "adopted"),
        ]
        shop.is_clean()

    def test_are_built_with_exactly_the_ledgers_migrations(self, shop: StockProject) -> None:
        """A migration that is pending is older than one that is applied: that stays to be told."""
        shop.write("2026-02", "CREATE TABLE late (id int)", app="blog")
        adopted = shop.adopt()
        assert adopted.code == 0, adopted.output
        assert len(shop.history) == 2
        assert "Note: blog_2026-02.py is pending, but older than 2026-03" in adopted.stdout
