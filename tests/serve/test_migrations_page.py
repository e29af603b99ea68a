"""The migrations page says what the commands say, of a database in every state."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal

from partman.migration.ledger import history, step_records
from partman.migration.ledger.lock import CLASS_ID
from partman.rehearsal.source import APPLICATION_NAME
from partman.serve.app import create_app
from partman.serve.migrations.reports import Kind
from partman.settings import Settings
from tests.database.plan_sample import ONLINE
from tests.faults.processes import wait_until
from tests.project import Project, row_of_a_run
from tests.serve.migrations_service import Service, login, serving
from tests.support import SIX_TABLES, Database, execute


def test_distinguishes_applied_pending_and_failed_migrations(
    local_project: Project, service: Service
) -> None:
    assert local_project.forwards(PARTMAN_REVISION="0123456789abcdef" * 3 + "-dirty").code == 0
    local_project.write("2026-01-03", ["SELECT 1 / 0"])
    local_project.write("2026-01-04", ["CREATE TABLE four (id int)"])
    assert local_project.forwards().code == 7

    page = service.page()

    assert page.verdict == "Failed"
    assert list(page.states().items()) == [
        ("2026-01-03", "failed"),
        ("2026-01-04", "pending"),
        ("2026-01-02", "applied"),
        ("2026-01-01", "applied"),
    ], "what failed comes first, then what is pending, then the newest run"
    alarm = page.main.each("article", "stops").text
    assert "Failed 20" in alarm
    assert "division by zero" in alarm
    assert "The migration was rolled back. The schema version is 2026-01-02." in alarm
    assert alarm.endswith("Correct the migration or the rows, then run: partman migrate")
    applied = page.of("2026-01-02")
    assert "UTC just now" in applied
    assert re.search(r"· [\d.]+ m?s ", applied)
    assert f" as {urlsplit(local_project.database.url).username} ·" in applied
    assert applied.endswith("0123456789ab-dirty")
    facts = [each.text for each in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-04", "2 applied, 1 failed, 1 pending"]


def test_says_that_all_is_well(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    page = service.page()
    assert page.verdict == "Up to date"
    assert page.main.all("article") == []
    assert page.notices() == []


def test_says_what_is_pending_with_the_verdict_of_the_plan(
    local_project: Project, service: Service
) -> None:
    page = service.page()
    assert page.verdict == "Pending"
    assert page.of("2026-01-01").endswith("not planned")
    assert page.main.each("pre", "command").text == "partman migrate"
    service.made("plan")
    assert service.page().states() == dict.fromkeys(("2026-01-01", "2026-01-02"), "safe live")
    local_project.write("2026-01-03", ["SELECT 1"])
    assert service.page().of("2026-01-01").endswith("not planned"), "of another state"
    local_project.write("2026-01-03", ["SELECT 1 / 0"])
    service.made("plan")
    assert "Correct it before you apply them." in service.page().text
    assert service.page().main.all("pre", "command") == []


def test_shows_every_run_in_both_directions(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    assert local_project.backwards().code == 0
    page = service.page()
    assert page.events() == [
        ("2026-01-02", "reverted"),
        ("2026-01-02", "applied"),
        ("2026-01-01", "applied"),
    ]
    assert page.states()["2026-01-02"] == "pending"


def test_runs_are_by_day_folded_and_filtered(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    execute(
        local_project.database.url,
        "INSERT INTO migration_history (app, migration, direction, outcome, error, started_at,"
        " duration, os_user, host, partman_version, piccolo_version)"
        " SELECT 'extra', '2025-' || n, 'forwards', (ARRAY['done', 'failed'])[n % 2 + 1],"
        " CASE n % 2 WHEN 1 THEN 'odd ' || n END, '2025-03-01 12:00+00'::timestamptz"
        " + n / 2 * interval '1 d', '1 s', 'deploy', 'ci', '1', '1' FROM generate_series(1, 23) n",
    )
    page = service.page()
    assert len(page.events()) == 25
    folded = page.main.each("details", id="older")
    assert folded.each("summary").text == "5 earlier runs"
    assert [each.text for each in folded.all("h3")] == [
        "Monday, 3 March 2025",
        "Sunday, 2 March 2025",
        "Saturday, 1 March 2025",
    ]
    assert page.main.all("h3")[1].text == "Wednesday, 12 March 2025"

    found = service.page("/migrations?q=DEPLOY+odd+21&outcome=failed")
    assert found.events() == [("2025-21", "failed")]
    assert "1 of 25 runs." in found.text
    assert found.main.each("input", name="q").attributes["value"] == "DEPLOY odd 21"
    assert service.page("/migrations?q=deploy&outcome=reverted").events() == []
    assert len(service.page("/migrations?outcome=nonsense").events()) == 25


def test_a_migration_that_could_not_be_undone_is_applied(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)"], ["DROP TABLE nowhere"])
    assert local_project.forwards().code == 0
    assert local_project.backwards().code == 7
    page = service.page()
    assert page.states()["2026-01-03"] == "not reverted"
    assert page.verdict == "Up to date"
    alarm = page.main.each("article", "alarm").text
    assert "Failed while reverting" in alarm
    assert "The migration is still applied." in alarm
    assert page.events()[0] == ("2026-01-03", "failed")


def test_an_edited_migration_and_one_without_a_file_stand_out(
    local_project: Project, service: Service
) -> None:
    assert local_project.forwards().code == 0
    local_project.write("2026-01-01", ["CREATE TABLE one (id bigint)"])
    local_project.file("2026-01-02").unlink()
    page = service.page()
    assert page.verdict == "Needs attention"
    assert page.states() == {"2026-01-01": "edited", "2026-01-02": "no file"}
    edited, missing = (each.text for each in page.main.all("article", "stops"))
    assert "extra_2026-01-01.py was changed after it was applied" in edited
    assert "2026-01-02 of extra is applied, but there is no such file" in missing
    facts = [each.text for each in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-01", "2 applied, 0 pending, 1 unknown to this code"]


def test_the_same_of_many_migrations_is_told_once(local_project: Project, service: Service) -> None:
    execute(
        local_project.database.url,
        "CREATE TABLE migration (id serial, name text, app_name text, ran_on timestamp)",
        "INSERT INTO migration (name, app_name, ran_on)"
        " SELECT '2025-' || n, 'extra', now() FROM generate_series(1, 9) AS n",
    )
    page = service.page()
    assert page.verdict == "Needs attention"
    assert page.main.all("article") == []
    missing = page.main.each("details", "stops")
    assert missing.each("summary").text == "no file 9 migrations"
    assert len(missing.all("li")) == 9


def test_an_online_migration_is_running_or_interrupted(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)", "SELECT 1 / 0"], more=ONLINE)
    assert local_project.forwards().code == 7
    page = service.page()
    assert page.verdict == "Interrupted"
    assert page.states()["2026-01-03"] == "interrupted"
    alarm = page.main.each("article", "stops").text
    assert "division by zero" in alarm
    assert "Finish it: piccolo migrations forwards extra 2026-01-03" in alarm

    with migrating(local_project.database):
        page = service.page()
        assert service.json("/api/activity")["busy"]
    assert page.verdict == "Running"
    assert page.states()["2026-01-03"] == "running"
    assert page.main.all("article") == []
    assert not service.json("/api/activity")["busy"]


def test_a_run_is_shown_as_running_and_then_as_killed(
    local_project: Project, service: Service
) -> None:
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)", "SELECT 1"], more=ONLINE)
    with migrating(local_project.database):
        execute(local_project.database.url, history.TABLE, row_of_a_run("2026-01-03", steps=2))
        page = service.page()
        assert page.states()["2026-01-03"] == "running"
        assert "Applying since" in page.of("2026-01-03")
        assert "step 1 of 2" in page.of("2026-01-03")
        assert page.events()[0] == ("2026-01-03", "running")
        before = service.json("/api/activity")
        assert before["backfills"] == []
        execute(
            local_project.database.url,
            step_records.TABLE,
            "INSERT INTO migration_step (app, migration, backwards, number, statement, progress)"
            " VALUES ('extra', '2026-01-03', false, 1, '', '{\"rows\": 1200, \"total\": 5000,"
            ' "position": null}\')',
        )
        page = service.page()
        assert "step 1 of 2, 1,200 of about 5,000 rows (24 %)" in page.of("2026-01-03")
        assert page.main.each("progress").attributes["value"] == "1200"
        after = service.json("/api/activity")
        assert after["state"] != before["state"], "so that the page is read again"
        assert after["state"] == page.main.each(id="now").attributes["data-state"]
        [backfill] = service.json("/api/backfills")["backfills"]
        assert (backfill["rows_done"], backfill["rows_total"]) == (1200, 5000)
        execute(local_project.database.url, "TRUNCATE migration_step")
    wait_until(lambda: service.page().states()["2026-01-03"] == "killed", "the server had noticed")
    page = service.page()
    assert page.verdict == "Killed"
    assert "Killed 20" in page.of("2026-01-03")
    assert "lost its connection before step 1 of 2." in page.of("2026-01-03")
    assert page.events()[0] == ("2026-01-03", "killed")


def test_a_rehearsal_under_way_is_seen_by_any_login(
    local_project: Project, service: Service
) -> None:
    """Of another role's session, PostgreSQL shows neither the statement nor when it began."""
    assert local_project.forwards().code == 0
    with start_blocking_portal() as portal, login(local_project.database) as url:
        copying = portal.call(
            partial(asyncpg.connect, url, server_settings={"application_name": APPLICATION_NAME})
        )
        portal.call(copying.execute, "BEGIN")
        page = service.page()
        assert "Copies the rows of this database" in page.main.each("ul", "rows").text
        [rehearsal] = service.json("/api/rehearsals")["rehearsals"]
        assert rehearsal["is_copying"]
        portal.call(copying.execute, "COMMIT")
        assert "Runs the migrations on its copy" in service.page().text
        assert service.json("/api/activity")["busy"]
        portal.call(copying.close)
    wait_until(lambda: not service.json("/api/rehearsals")["rehearsals"], "it was gone")


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
    assert page.events() == [("2026-01-02", "applied"), ("2026-01-01", "applied")]
    run = page.main.all("li", "event")[0].text
    assert "local time of the machine that ran it; no run is recorded" in run
    note = page.main.each("details", "card")
    assert note.each("summary").text == "unrecorded 2 migrations"
    assert page.main.all("article") == []


def test_shows_a_script_as_text(local_project: Project, service: Service) -> None:
    script = "<script>alert(1)</script>"
    file = local_project.write("2026-01-03", [f"SELECT '{script}'::int"])
    file.write_text(file.read_text().replace('DESCRIPTION = ""', f'DESCRIPTION = "{script}"'))
    assert local_project.forwards().code == 7
    assert script in service.page().of("2026-01-03"), "and Page refuses an element"
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
    assert service.json("/migrations.json") == service.json("/api/migrations")


def test_the_diagram_is_a_picture_and_told_in_words(database: Database) -> None:
    with serving(database.url) as service:
        page = service.page("/migrations/diagram")
        picture = service.ask("GET", "/migrations/diagram.svg")
        style = service.ask("GET", "/migrations/diagram.css")
        found = service.page("/migrations/diagram?table=ALERT")
        tables = service.json("/api/diagram")["tables"]
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert picture.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert style.headers["Content-Type"].startswith("text/css")
    for text in (picture.text, style.text):
        assert "prefers-color-scheme: dark" in text
    output = {
        each.each("summary").each("span", "id").text: each.text for each in page.main.all("details")
    }
    assert output.keys() >= SIX_TABLES
    assert {each["name"] for each in tables} == output.keys()
    inline = page.main.each("svg")
    assert {each.attributes.get("data-table") for each in inline.all("g")} >= SIX_TABLES
    for table in SIX_TABLES:
        assert f'id="{table}"' in picture.text
    shown = [each for each in found.main.all("details") if "hidden" not in each.attributes]
    assert [each.attributes["data-name"] for each in shown] == ["alerts"]
    assert "open" in shown[0].attributes
    marked = found.main.each("svg").all("g", "found")
    assert "alerts" in {each.attributes.get("data-table") for each in marked}
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
