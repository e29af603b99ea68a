"""What a project gives its PartmanEngine, in the commands that work with it."""

from typing import Any

import pytest
from piccolo.table import Table

from partman.engine import PartmanEngine
from partman.settings import Settings
from tests.project import Project
from tests.support import Database, query

pytestmark = pytest.mark.same_on_every_version

WITHOUT_URL = {"DATABASE_URL": ""}


def tables(database: Database) -> list[Any]:
    sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    return [row[0] for row in query(database.url, sql)]


def test_the_config_says_which_database_it_is(project: Project) -> None:
    project.write("2026-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    project.configure(f"config={{'dsn': {project.database.url!r}}}")
    ran = project.forwards(**WITHOUT_URL)
    assert ran.code == 0, ran.output
    for command in ("status", "drift", "verify"):
        completed = project.partman(command, **WITHOUT_URL)
        assert completed.code == 0, completed.output
    assert "one" in tables(project.database)


def test_a_database_url_wins_over_the_config(project: Project, other_database: Database) -> None:
    project.write("2026-01", ["CREATE TABLE one (id int)"])
    project.configure(f"config={{'dsn': {other_database.url!r}}}")
    assert project.forwards().code == 0
    assert project.partman("status").code == 0
    assert "one" in tables(project.database)
    assert tables(other_database) == []
    assert project.partman("status", **WITHOUT_URL).code == 1  # pending there


def test_other_arguments_of_the_config_hold_with_a_database_url(project: Project) -> None:
    asked = "current_setting('application_name') AS name, current_setting('work_mem') AS memory"
    project.write("2026-01", [f"CREATE TABLE seen AS SELECT {asked}"])
    own = {"application_name": "ours", "work_mem": "5MB"}
    project.configure(f"config={{'host': 'nowhere', 'server_settings': {own!r}}}")
    assert project.forwards().code == 0
    assert [tuple(row) for row in query(project.database.url, "SELECT * FROM seen")] == [
        ("ours", "5MB")
    ]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{'hostname': 'host'}", "has hostname, which asyncpg.connect does not accept"),
        ("{'host': 'host', 'port': 'secret'}", "its dsn, host or port cannot be parsed"),
    ],
)
def test_a_config_that_cannot_be_passed_on_is_one_line(
    project: Project, config: str, said: str
) -> None:
    project.write("2026-01", ["CREATE TABLE one (id int)"])
    project.configure(f"config={config}")
    for refused in (
        project.forwards(**WITHOUT_URL),
        project.partman("status", **WITHOUT_URL),
        project.partman("drift", **WITHOUT_URL),
    ):
        assert refused.code == 3, refused.output
        assert said in refused.stderr
        assert "secret" not in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["extra_nodes={}", "nothing_like_it=1"])
def test_an_argument_that_it_does_not_take_is_one_line(project: Project, argument: str) -> None:
    project.configure(argument)
    refused = project.partman("drift")
    assert refused.code == 3, refused.output
    assert "Cannot import extra_conf: TypeError" in refused.stderr
    assert argument.partition("=")[0] in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_extensions_are_there_before_the_migrations_run(project: Project) -> None:
    project.write("2026-01", ["CREATE TABLE one (name citext)"], ["DROP TABLE one"])
    project.configure('extensions=("citext",)')
    ran = project.forwards()
    assert ran.code == 0, ran.output
    for command in ("status", "drift", "verify"):
        completed = project.partman(command)
        assert completed.code == 0, completed.output


def test_an_extension_that_the_server_lacks_is_one_line(project: Project) -> None:
    project.write("2026-01", ["CREATE TABLE one (id int)"])
    project.configure('extensions=("nothing_like_it",)')
    refused = project.forwards()
    assert refused.code == 5, refused.output
    assert "The extension nothing_like_it, which piccolo_conf asks for" in refused.stderr
    assert "Nothing was run" in refused.stderr
    assert "one" not in tables(project.database)


@pytest.mark.parametrize("logged", [True, False])
async def test_queries_and_responses_are_logged_where_asked_for(
    empty_database: Database, capsys: pytest.CaptureFixture[str], logged: bool
) -> None:
    engine = PartmanEngine(
        log_queries=logged,
        log_responses=logged,
        settings=Settings.load({"DATABASE_URL": empty_database.url}),
    )

    class Answer(Table, db=engine):
        pass

    assert await Answer.raw("SELECT 6 * 7 AS answer") == [{"answer": 42}]
    printed = capsys.readouterr().out
    assert ("SELECT 6 * 7" in printed) is logged
    assert ("<Record answer=42>" in printed) is logged


def test_queries_of_a_run_are_logged_where_asked_for(project: Project) -> None:
    project.write("2026-01", ["CREATE TABLE one (id int)"])
    project.configure("log_queries=True")
    ran = project.forwards()
    assert ran.code == 0, ran.output
    assert 'INSERT INTO "migration"' in ran.stdout
