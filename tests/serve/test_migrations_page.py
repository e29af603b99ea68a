"""The migrations page says what the commands say, of a database in every state."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal

from partman.migration.ledger import history, step_records
from partman.migration.ledger.lock import CLASS_ID
from partman.serve.app import create_app
from partman.serve.console.reports import Kind
from partman.settings import Settings
from tests.database.plan_sample import ONLINE
from tests.faults.processes import wait_until
from tests.project import Project, row_of_a_run
from tests.serve.migrations_service import Service, serving
from tests.support import SIX_TABLES, Database, execute


def test_distinguishes_applied_pending_and_failed_migrations(
    local_project: Project, service: Service
) -> None:
    assert local_project.forwards(PARTMAN_REVISION="0123456789abcdef" * 3 + "-dirty").code == 0
    local_project.write("2026-01-03", ["SELECT 1 / 0"])
    local_project.write("2026-01-04", ["CREATE TABLE four (id int)"])
    assert local_project.forwards().code == 7

    page = service.page()

    assert list(page.states().items()) == [
        ("2026-01-04", "pending"),
        ("2026-01-03", "failed"),
        ("2026-01-02", "applied"),
        ("2026-01-01", "applied"),
    ]
    failed, applied = page.rows("all")[1:3]
    assert "Failed forwards" in failed[0]
    assert "division by zero" in failed[0]
    assert "UTC just now" in applied[2]
    assert applied[3].endswith(" ms")
    assert applied[4].endswith(f" as {urlsplit(local_project.database.url).username}")
    assert applied[5] == "0123456789ab-dirty"
    facts = [each.text for each in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-04", "2 applied, 2 pending"]
    assert any("piccolo migrations forwards all" in notice for notice in page.notices())


def test_says_that_all_is_well(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    page = service.page()
    assert page.notices() == ["The database is at the version that this code expects."]


def test_shows_every_run_in_both_directions(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    assert local_project.backwards().code == 0
    page = service.page()
    runs = [(row[0], row[1]) for row in page.rows("history")]
    assert runs == [
        ("2026-01-02 backwards · extra", "done"),
        ("2026-01-02 forwards · extra", "done"),
        ("2026-01-01 forwards · extra", "done"),
    ]
    assert page.states()["2026-01-02"] == "pending"
    assert page.rows("all")[0][2].endswith("(backwards)")


def test_a_migration_that_could_not_be_undone_is_applied(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)"], ["DROP TABLE nowhere"])
    assert local_project.forwards().code == 0
    assert local_project.backwards().code == 7
    page = service.page()
    assert page.states()["2026-01-03"] == "applied"
    assert "Failed backwards" in page.rows("all")[0][0]


def test_an_edited_migration_and_one_without_a_file_stand_out(
    local_project: Project, service: Service
) -> None:
    assert local_project.forwards().code == 0
    local_project.write("2026-01-01", ["CREATE TABLE one (id bigint)"])
    local_project.file("2026-01-02").unlink()
    page = service.page()
    assert page.states() == {"2026-01-01": "edited", "2026-01-02": "no file"}
    edited, missing = page.notices("error")
    assert edited.startswith("Edited: extra_2026-01-01.py was changed after it was applied")
    assert missing.startswith("Missing: 2026-01-02 of extra is applied, but there is no such file")
    facts = [each.text for each in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-01", "2 applied, 0 pending, 1 unknown to this code"]


def test_an_online_migration_is_running_or_interrupted(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)", "SELECT 1 / 0"], more=ONLINE)
    assert local_project.forwards().code == 7
    page = service.page()
    assert page.states()["2026-01-03"] == "interrupted"
    assert "Finish it: piccolo migrations forwards extra 2026-01-03" in page.notices("warning")[0]

    with migrating(local_project.database):
        page = service.page()
    assert page.states()["2026-01-03"] == "running"
    assert page.notices("warning") == []
    assert "A migration run is in progress." in page.notices()


def test_a_run_is_shown_as_running_and_then_as_killed(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)", "SELECT 1"], more=ONLINE)
    with migrating(local_project.database):
        execute(local_project.database.url, history.TABLE, row_of_a_run("2026-01-03", steps=2))
        page = service.page()
        assert page.states()["2026-01-03"] == "running"
        assert "Forwards since" in page.rows("all")[0][0]
        assert "step 1 of 2" in page.rows("all")[0][0]
        assert page.rows("history")[0][1] == "running"
        execute(
            local_project.database.url,
            step_records.TABLE,
            "INSERT INTO migration_step (app, migration, backwards, number, statement, progress)"
            " VALUES ('extra', '2026-01-03', false, 1, '', '{\"rows\": 1200, \"total\": 5000,"
            ' "position": null}\')',
        )
        assert "step 1 of 2, 1,200 of about 5,000 rows (24 %)" in service.page().rows("all")[0][0]
        execute(local_project.database.url, "TRUNCATE migration_step")
    wait_until(lambda: service.page().states()["2026-01-03"] == "killed", "the server had noticed")
    page = service.page()
    assert "Killed forwards" in page.rows("all")[0][0]
    assert "lost its connection before step 1 of 2." in page.rows("all")[0][0]
    assert page.rows("history")[0][1] == "killed"


@contextmanager
def migrating(database: Database) -> Iterator[None]:
    """Somebody holds the migration lock."""
    with start_blocking_portal() as portal:
        runner = portal.call(asyncpg.connect, database.url)
        portal.call(
            runner.execute,
            f"SELECT pg_advisory_lock(({CLASS_ID}::bigint << 32) | oid::bigint) FROM pg_database"
            " WHERE datname = current_database()",
        )
        yield
        portal.call(runner.close)


def test_needs_no_ledger(local_project: Project, service: Service) -> None:
    page = service.page()
    assert page.states() == {"2026-01-01": "pending", "2026-01-02": "pending"}
    assert "none: no migration is applied" in page.text
    assert "partman has run no migration on this database." in page.text


def test_says_what_is_not_recorded(local_project: Project, service: Service) -> None:
    """A database that stock Piccolo has migrated has a ledger, and no history."""
    assert local_project.forwards().code == 0
    execute(local_project.database.url, "DROP TABLE migration_history CASCADE")
    page = service.page()
    newest = page.rows("all")[0]
    assert newest[1] == "applied"
    assert "local time of the machine that ran it" in newest[2]
    assert newest[3:] == ["not recorded"] * 3


def test_shows_a_script_as_text(local_project: Project, service: Service) -> None:
    script = "<script>alert(1)</script>"
    file = local_project.write("2026-01-03", [f"SELECT '{script}'::int"])
    file.write_text(file.read_text().replace('DESCRIPTION = ""', f'DESCRIPTION = "{script}"'))
    assert local_project.forwards().code == 7
    assert script in (service.page()).rows("all")[0][0], "and Page refuses an element"
    assert script in (service.made("plan")).text


def test_the_json_equals_the_commands_output(local_project: Project, service: Service) -> None:
    local_project.write("2026-01-03", ["SELECT 1 / 0"])
    assert local_project.forwards().code == 7
    local_project.write("2026-01-01", ["CREATE TABLE one (id bigint)"])
    facts = (service.ask("GET", "/migrations.json")).json()
    status = json.loads(local_project.partman("status", "--json").stdout)
    states = [each["state"] for each in facts["migrations"]]
    assert states == ["edited", "applied", "failed"]
    assert facts.pop("history") == json.loads(local_project.partman("history", "--json").stdout)
    assert facts.pop("expected") == "2026-01-03"
    assert facts == status


def test_the_diagram_is_a_picture_and_told_in_words(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(database.url) as service:
        page = service.page("/migrations/diagram")
        image = page.main.each("img")
        picture = service.ask("GET", image.attributes["src"])
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert picture.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in picture.text
    assert image.attributes["alt"]
    output = {
        each.each("summary").each("span", "id").text: each.text for each in page.main.all("details")
    }
    assert output.keys() >= SIX_TABLES
    for table in SIX_TABLES:
        assert f'id="{table}"' in picture.text
    assert "refers to organizations, users" in output["alerts"]
    assert "organization_id, user_id to users ( organization_id, id )" in output["alerts"]
    assert "tenant_only , restrictive" in output["alerts"]


def test_an_empty_database_has_nothing_to_draw(local_project: Project, service: Service) -> None:
    assert "The database has no tables." in service.page("/migrations/diagram").text
    assert service.ask("GET", "/migrations/diagram.svg").status_code == 200


@pytest.mark.parametrize("path", ["", "/plan", "/drift", "/diagram", "/diagram.svg"])
def test_is_hidden_without_signing_in(database: Database, path: str) -> None:
    app = create_app(Settings.load({"DATABASE_URL": database.url, "PARTMAN_ENV": "test"}))
    with start_blocking_portal() as portal:
        service = Service(app, portal)
        answer = service.ask("GET", f"/migrations{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
        assert service.ask("GET", "/migrations.json").status_code == 401
        for kind in Kind:
            assert service.ask("POST", f"/migrations/{kind}").status_code == 403
