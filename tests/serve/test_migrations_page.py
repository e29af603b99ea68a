"""The migrations page says what the commands say, of a database in every state."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.types import ASGIApp

from partman.migration.lock import CLASS_ID
from partman.serve import migrations
from partman.serve.app import create_app
from partman.serve.database import APPLICATION_NAME, Reader
from partman.serve.reports import TIMEOUT, Kind, Reports
from partman.settings import Settings
from tests.database.plan_sample import ONLINE
from tests.faults.processes import DEADLINE, wait_until
from tests.project import APP, Project
from tests.serve.page import Page
from tests.support import SIX_TABLES, Database, as_role, execute, query, server_url
from tests.tenants import login_role


@dataclass(frozen=True)
class Service:
    """The pages, asked in this process by somebody who may."""

    app: ASGIApp
    portal: BlockingPortal
    """Leads into the loop that it runs in."""

    def ask(self, method: str, path: str) -> httpx.Response:
        return self.portal.call(self._ask, method, path)

    async def _ask(self, method: str, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    def page(self, path: str = "/migrations") -> Page:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return Page(answer.text)

    def request(self, kind: str) -> None:
        asked = self.ask("POST", f"/migrations/{kind}")
        assert (asked.status_code, asked.headers["Location"]) == (303, f"/migrations/{kind}")

    def made(self, kind: str) -> Page:
        """The page of a report that has been made anew."""
        self.request(kind)
        path = f"/migrations/{kind}"
        wait_until(lambda: "Refresh" not in self.ask("GET", path).headers, "it was made")
        return self.page(path)

    def wait_for(self, kind: str, text: str) -> None:
        wait_until(lambda: text in self.page(f"/migrations/{kind}").text, f"it says {text!r}")


@contextmanager
def serving(url: str, timeout: float = TIMEOUT) -> Iterator[Service]:
    reader = Reader(Settings.load({"DATABASE_URL": url}))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.reader, app.state.reports = reader, Reports("server", timeout)
        yield
        async with asyncio.timeout(DEADLINE):
            await app.state.reports.close()
        await reader.close()

    app = Starlette(routes=migrations.routes([]), lifespan=lifespan)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Service(app, portal)


@contextmanager
def login(database: Database, *may: str) -> Iterator[str]:
    """The URL of a role that reads the database."""
    with login_role() as name:
        execute(
            database.url,
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
            *(f"ALTER ROLE {name} {one}" for one in may),
        )
        try:
            yield as_role(database.url, name)
        finally:
            execute(database.url, f"DROP OWNED BY {name}")


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, whose files are this process's too."""
    for name in [name for name in sys.modules if name.partition(".")[0] == APP]:
        monkeypatch.delitem(sys.modules, name)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(project.folder)
    project.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    project.write("2026-01-02", ["CREATE TABLE two (id int)"], ["DROP TABLE two"])
    return project


@pytest.fixture
def service(here: Project) -> Iterator[Service]:
    with serving(here.database.url) as running:
        yield running


def test_tells_what_is_applied_from_what_is_pending_and_what_failed(
    here: Project, service: Service
) -> None:
    assert here.forwards(PARTMAN_REVISION="0123456789abcdef").code == 0
    here.write("2026-01-03", ["SELECT 1 / 0"])
    here.write("2026-01-04", ["CREATE TABLE four (id int)"])
    assert here.forwards().code == 7

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
    assert applied[4].endswith(f" as {urlsplit(here.database.url).username}")
    assert applied[5] == "0123456789ab"
    facts = [one.text for one in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-04", "2 applied, 2 pending"]
    assert any("piccolo migrations forwards all" in notice for notice in page.notices())


def test_says_that_all_is_well(here: Project, service: Service) -> None:
    assert here.forwards().code == 0
    page = service.page()
    assert page.notices() == ["The database is at the version that this code expects."]


def test_shows_every_run_in_both_directions(here: Project, service: Service) -> None:
    assert here.forwards().code == 0
    assert here.backwards().code == 0
    page = service.page()
    runs = [(row[0], row[1]) for row in page.rows("history")]
    assert runs == [
        ("2026-01-02 backwards · extra", "done"),
        ("2026-01-02 forwards · extra", "done"),
        ("2026-01-01 forwards · extra", "done"),
    ]
    assert page.states()["2026-01-02"] == "pending"
    assert page.rows("all")[0][2].endswith("(backwards)")


def test_a_migration_that_could_not_be_undone_is_applied(here: Project, service: Service) -> None:
    here.write("2026-01-03", ["CREATE TABLE three (id int)"], ["DROP TABLE nowhere"])
    assert here.forwards().code == 0
    assert here.backwards().code == 7
    page = service.page()
    assert page.states()["2026-01-03"] == "applied"
    assert "Failed backwards" in page.rows("all")[0][0]


def test_an_edited_migration_and_one_without_a_file_stand_out(
    here: Project, service: Service
) -> None:
    assert here.forwards().code == 0
    here.write("2026-01-01", ["CREATE TABLE one (id bigint)"])
    here.file("2026-01-02").unlink()
    page = service.page()
    assert page.states() == {"2026-01-01": "edited", "2026-01-02": "no file"}
    edited, missing = page.notices("error")
    assert edited.startswith("Edited: extra_2026-01-01.py was changed after it was applied")
    assert missing.startswith("Missing: 2026-01-02 of extra is applied, but there is no such file")
    facts = [one.text for one in page.main.all("dd")]
    assert facts == ["2026-01-02", "2026-01-01", "2 applied, 0 pending, 1 unknown to this code"]


def test_an_online_migration_is_running_or_interrupted(here: Project, service: Service) -> None:
    here.write("2026-01-03", ["CREATE TABLE three (id int)", "SELECT 1 / 0"], more=ONLINE)
    assert here.forwards().code == 7
    page = service.page()
    assert page.states()["2026-01-03"] == "interrupted"
    assert "Finish it: piccolo migrations forwards extra 2026-01-03" in page.notices("warning")[0]

    with migrating(here.database):
        page = service.page()
    assert page.states()["2026-01-03"] == "running"
    assert page.notices("warning") == []
    assert "A run is under way." in page.notices()


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


def test_needs_no_ledger(here: Project, service: Service) -> None:
    page = service.page()
    assert page.states() == {"2026-01-01": "pending", "2026-01-02": "pending"}
    assert "none: no migration is applied" in page.text
    assert "No migration has been run by partman on this database." in page.text


def test_says_what_is_not_recorded(here: Project, service: Service) -> None:
    """A database that stock Piccolo has migrated has a ledger, and no history."""
    assert here.forwards().code == 0
    execute(here.database.url, "DROP TABLE migration_history CASCADE")
    page = service.page()
    newest = page.rows("all")[0]
    assert newest[1] == "applied"
    assert "by the clock of the machine that ran it" in newest[2]
    assert newest[3:] == ["not recorded"] * 3


def test_shows_a_script_as_text(here: Project, service: Service) -> None:
    script = "<script>alert(1)</script>"
    file = here.write("2026-01-03", [f"SELECT '{script}'::int"])
    file.write_text(file.read_text().replace('DESCRIPTION = ""', f'DESCRIPTION = "{script}"'))
    assert here.forwards().code == 7
    assert script in (service.page()).rows("all")[0][0], "and Page refuses an element"
    assert script in (service.made("plan")).text


def test_scripts_get_what_the_commands_print(here: Project, service: Service) -> None:
    here.write("2026-01-03", ["SELECT 1 / 0"])
    assert here.forwards().code == 7
    here.write("2026-01-01", ["CREATE TABLE one (id bigint)"])
    facts = (service.ask("GET", "/migrations.json")).json()
    status = json.loads(here.partman("status", "--json").stdout)
    states = [one.pop("state") for one in facts["migrations"]]
    assert states == ["edited", "applied", "failed"]
    assert facts.pop("history") == json.loads(here.partman("history", "--json").stdout)
    assert facts.pop("expected") == "2026-01-03"
    assert facts == status


def test_the_plan_is_that_of_the_command(here: Project, service: Service) -> None:
    assert here.forwards().code == 0
    execute(here.database.url, "INSERT INTO one VALUES (1)")
    here.write("2026-01-03", ["CREATE INDEX i ON one (id)"], ["DROP INDEX i"])
    here.write("2026-01-04", ["DROP TABLE one"])
    here.write("2026-01-05", ["ALTER TABLE nowhere ADD COLUMN n int"])
    here.write("2026-01-06", ["CREATE TABLE six (id int)"])
    assert "Not made yet." in (service.page("/migrations/plan")).text

    page = service.made("plan")

    verdicts = [one.text for one in page.main.one("ol", "verdicts").all("li")]
    assert verdicts == ["blocks writes 2026-01-03", "loses data 2026-01-04", "fails 2026-01-05"]
    index, loss, failure = (one.text for one in page.main.all("article"))
    assert "SHARE on one : blocks writes, DDL" in index
    assert "builds an index on one (i), which is 8 kB live" in index
    assert "Reversible" in index
    assert "require-concurrent-index-creation" in index
    assert "one: the table is gone (1 row)" in loss
    assert "PARTMAN_ALLOW_DATA_LOSS=2026-01-04" in loss
    assert "Not reversible" in loss
    assert 'relation "nowhere" does not exist' in failure
    assert "Not tried, after the one that fails: 2026-01-06" in page.notices()
    assert "just now , for the database as it was then" in page.text


def test_a_report_on_a_database_that_was_migrated_since_says_so(
    here: Project, service: Service
) -> None:
    outdated = "Since then the migrations that are applied, or pending, have changed."
    for kind in ("plan", "drift"):
        assert outdated not in service.made(kind).text
    assert here.forwards().code == 0
    for kind in ("plan", "drift"):
        assert outdated in service.page(f"/migrations/{kind}").text


def test_the_drift_is_that_of_the_command(here: Project, service: Service) -> None:
    assert here.forwards().code == 0
    execute(here.database.url, "CREATE INDEX i ON one (id)", "ALTER TABLE two ADD COLUMN n int")

    page = service.made("drift")

    assert page.notices("warning")[0].endswith("2 applied migrations build: 2 differences .")
    column, index = (one.text for one in page.main.all("article"))
    assert column == "column public.two.n extra Found integer"
    assert index.startswith("index public.i extra Found CREATE INDEX i ON public.one")
    remedy = page.main.all("pre")[-1].text
    assert "DROP INDEX public.i;" in remedy
    assert "ALTER TABLE public.two DROP COLUMN n;" in remedy


def test_one_report_is_made_at_a_time(here: Project, service: Service) -> None:
    assert here.forwards().code == 0
    for kind in ("plan", "drift", "drift"):
        service.request(kind)
    service.wait_for("plan", "Being made")
    answer = service.ask("GET", "/migrations/drift")
    assert "Waiting until the other one is made" in answer.text
    assert answer.headers["Refresh"] == "2"
    still = service.ask("GET", "/migrations/drift?reload=no")
    assert "Refresh" not in still.headers, "whoever reads slowly has it wait"
    service.wait_for("drift", "no difference")
    assert "Nothing is pending" in service.page("/migrations/plan").text


@pytest.mark.parametrize("kind", ["plan", "drift"])
def test_says_why_there_is_no_report_and_what_to_type(
    here: Project, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert here.forwards().code == 0
    here.write("2026-01-03", ["CREATE TABLE three (id int)"])
    with login(here.database) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url) as service:
            page = service.made(kind)
    (refusal,) = page.notices("error")
    assert "may not make a scratch database" in refusal
    assert "--scratch embedded" in refusal


def test_what_is_no_refusal_is_for_the_log_alone(
    here: Project, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    here.file("2026-01-01").write_text('ID = "2026-01-01"\nraise ValueError("what it quotes")\n')
    page = service.made("plan")
    assert "what it quotes" not in page.text
    assert "What it said is in the service's log." in page.text
    assert "what it quotes" in caplog.text


@pytest.fixture
def sleeping(here: Project) -> Project:
    """A migration is pending that does not end."""
    assert here.forwards().code == 0
    here.write("2026-01-03", ["SELECT pg_sleep(3600)"])
    return here


def sessions(url: str) -> list[str]:
    """What the role is doing on the server."""
    rows = query(
        server_url(),
        "SELECT query FROM pg_stat_activity WHERE usename = $1 AND application_name <> $2",
        urlsplit(url).username,
        APPLICATION_NAME,
    )
    return [row["query"] for row in rows]


def test_what_is_being_made_ends_with_the_service(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with login(sleeping.database, "CREATEDB") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url) as service:
            service.request("plan")
            wait_until(lambda: any("pg_sleep" in one for one in sessions(url)), "it was run")
        wait_until(lambda: not sessions(url), "its sessions ended")
        execute(server_url(), *leftovers(url))


def test_what_takes_too_long_is_given_up(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with login(sleeping.database, "CREATEDB") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url, timeout=3) as service:
            page = service.made("plan")
            assert page.notices("error") == ["It took longer than 3 s, and was ended."]
            wait_until(lambda: not sessions(url), "its sessions ended")
        execute(server_url(), *leftovers(url))


def leftovers(url: str) -> list[str]:
    """Drop what scratch databases of a role are still there."""
    rows = query(
        server_url(),
        "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = $1",
        urlsplit(url).username,
    )
    return [f"DROP DATABASE IF EXISTS {row['datname']} WITH (FORCE)" for row in rows]


def test_the_diagram_is_a_picture_and_told_in_words(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(database.url) as service:
        page = service.page("/migrations/diagram")
        image = page.main.one("img")
        picture = service.ask("GET", image.attributes["src"])
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert picture.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in picture.text
    assert image.attributes["alt"]
    told = {one.one("summary").one("span", "id").text: one.text for one in page.main.all("details")}
    assert told.keys() >= SIX_TABLES
    for table in SIX_TABLES:
        assert f'id="{table}"' in picture.text
    assert "refers to organizations, users" in told["alerts"]
    assert "organization_id, user_id to users ( organization_id, id )" in told["alerts"]
    assert "tenant_only , restrictive" in told["alerts"]


def test_an_empty_database_has_nothing_to_draw(here: Project, service: Service) -> None:
    assert "The database has no tables." in service.page("/migrations/diagram").text
    assert service.ask("GET", "/migrations/diagram.svg").status_code == 200


@pytest.mark.parametrize("path", ["", "/plan", "/drift", "/diagram", "/diagram.svg"])
def test_nobody_sees_it_who_has_not_signed_in(here: Project, path: str) -> None:
    app = create_app(Settings.load({"DATABASE_URL": here.database.url, "PARTMAN_ENV": "test"}))
    with start_blocking_portal() as portal:
        service = Service(app, portal)
        answer = service.ask("GET", f"/migrations{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
        assert service.ask("GET", "/migrations.json").status_code == 401
        for kind in Kind:
            assert service.ask("POST", f"/migrations/{kind}").status_code == 403
