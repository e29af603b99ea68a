"""The plan and the drift, as the migrations page has them made."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from partman.migration.ledger.status import Status, read_status
from partman.serve.migrations import pages
from partman.serve.migrations.reports import Kind, Phase, Report, Reports, Standing
from partman.serve.pages import environment
from partman.serve.reader import APPLICATION_NAME
from tests.faults.processes import wait_until
from tests.project import Project
from tests.serve.migrations_service import Service, login, serving
from tests.serve.page import Page
from tests.support import execute, query, server_url


def test_the_plan_is_that_of_the_command(
    local_project: Project, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_project.forwards().code == 0
    execute(local_project.database.url, "INSERT INTO one VALUES (1)")
    local_project.write("2026-01-03", ["CREATE INDEX i ON one (id)"], ["DROP INDEX i"])
    local_project.write("2026-01-04", ["DROP TABLE one"])
    local_project.write("2026-01-05", ["ALTER TABLE nowhere ADD COLUMN n int"])
    local_project.write("2026-01-06", ["CREATE TABLE six (id int)"])
    assert "No report yet." in (service.page("/migrations/plan")).text

    page = service.made("plan")

    verdicts = [each.text for each in page.main.each("ol", "verdicts").all("li")]
    assert page.verdict == "Fails"
    assert verdicts == ["fails 2026-01-05", "loses data 2026-01-04", "blocks writes 2026-01-03"]
    assert "1 fails, 1 loses data, 1 blocks writes" in page.text
    failure, loss, index = (each.text for each in page.main.all("article"))
    assert "one SHARE blocks writes, DDL" in index
    assert "Longer with rows, because it builds an index on one." in index
    assert "builds an index on one (i), which is 8 kB live" in index
    assert "Reversible" in index
    assert "require-concurrent-index-creation" in index
    assert "one: the table is gone (1 row)" in loss
    assert "PARTMAN_ALLOW_DATA_LOSS=2026-01-04" in loss
    assert "Not reversible" in loss
    assert 'relation "nowhere" does not exist' in failure
    assert "Not tried, because an earlier migration fails: 2026-01-06" in page.notices()
    assert "just now from the database at that time" in page.text

    facts = service.json("/api/plan")
    assert (facts["phase"], facts["outdated"], facts["refusal"]) == ("idle", False, None)
    assert [each["id"] for each in facts["report"]["migrations"]] == [
        f"2026-01-0{number}" for number in (3, 4, 5)
    ]
    one = service.json("/api/migrations/extra/2026-01-04/plan")
    assert (one["level"], one["outdated"]) == ("loses data", False)
    assert "No plan has 2026-01-06 of the app extra." in (
        service.ask("GET", "/api/migrations/extra/2026-01-06/plan").text
    )
    facts = service.json("/api/migrations/extra/2026-01-02")
    assert (facts["state"], len(facts["history"])) == ("applied", 1)

    plan = service.json("/api/plan")["report"]
    plan["migrations"][0]["statements"] *= 13
    made = Report(datetime.now(UTC), timedelta(), plan, "")
    standing = Standing(Kind.PLAN, Phase.IDLE, "", made)
    monkeypatch.setattr(reports_of(service), "standing", lambda _: standing)
    long = service.page("/migrations/plan").main.all("article")[-1]
    assert [len(each.children) > 0 for each in long.all("pre")] == [True] * 13
    assert long.each("details").each("summary").text == "3 more statements"
    assert long.each("details").each("ol").attributes["start"] == "11"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the max `int` limit", "the max <code>int</code> limit"),
        ("`a` or `b`", "<code>a</code> or <code>b</code>"),
        ("one ` alone, <b>", "one ` alone, &lt;b&gt;"),
        ("`a<b`, and one `", "<code>a&lt;b</code>, and one `"),
        ("none", "none"),
    ],
)
def test_code_in_a_message_is_shown_as_code(said: str, shown: str) -> None:
    template = '{% from "parts.html" import code_spans %}{{ code_spans(said) }}'
    assert environment().from_string(template).render(said=said) == shown


def reports_of(service: Service) -> Reports:
    found: Reports = service.app.state.reports  # type: ignore[attr-defined]
    return found


def test_the_sql_is_what_the_command_writes(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)"])
    answer = service.ask("POST", "/migrations/plan.sql")
    assert answer.headers["Content-Type"] == "application/sql"
    name = "migrations-to-2026-01-03.sql"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert "CREATE TABLE three" in answer.text
    assert answer.text == local_project.partman("sql").stdout

    local_project.write("2026-01-04", ["SELECT nonsense"])
    refused = service.ask("POST", "/migrations/plan.sql")
    assert refused.status_code == 422
    [why] = Page(refused.text).notices("error")
    assert why.startswith("There is no SQL to download:")
    assert "nonsense" in why
    assert '<a href="/migrations/plan" aria-current="page">' in refused.text


def test_the_drift_is_that_of_the_command(local_project: Project, service: Service) -> None:
    assert local_project.forwards().code == 0
    execute(
        local_project.database.url,
        "CREATE INDEX i ON one (id)",
        "ALTER TABLE two ADD COLUMN n int, ADD COLUMN m int",
        "CREATE POLICY by_hand ON two",
    )

    page = service.made("drift")

    assert page.verdict == "4 differences"
    assert "1 difference may let a tenant reach the rows of another" in page.text
    titles = [each.text for each in page.main.all("h2")]
    assert titles[1:3] == ["Tenant isolation", "Other differences"]
    policy, _, column, index = (each.text for each in page.main.all("article"))
    assert policy.startswith("policy by_hand on public.two extra")
    assert column == "column public.two.n extra Found integer"
    [losses] = page.main.all("div", "notice")
    assert [each.text for each in losses.all("li")] == [
        f"Removes column public.two.{name}, which has no values: nothing is lost." for name in "nm"
    ]
    assert index.startswith("index public.i extra Found CREATE INDEX i ON public.one")
    remedy = page.main.all("pre")[-1].text
    assert "DROP INDEX public.i;" in remedy
    assert "ALTER TABLE public.two DROP COLUMN n;" in remedy


def test_one_report_is_made_at_a_time_and_says_if_the_database_was_migrated_since(
    local_project: Project, service: Service
) -> None:
    assert local_project.forwards().code == 0
    for kind in ("plan", "drift", "drift"):
        service.request(kind)
    service.wait_for("plan", "Running")
    page = service.page("/migrations/drift")
    assert "Waiting for the other report" in page.text
    facts = service.json("/api/activity")["reports"]["drift"]
    assert page.main.each(id="now").attributes["data-state"] == facts["state"]
    assert facts["busy"]
    service.wait_for("drift", "No difference")
    assert service.page("/migrations/plan").verdict == "Nothing pending"

    outdated = "The applied or pending migrations have changed since then."
    for kind in ("plan", "drift"):
        assert outdated not in service.page(f"/migrations/{kind}").text
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)"])
    assert local_project.forwards().code == 0
    for kind in ("plan", "drift"):
        assert outdated in service.page(f"/migrations/{kind}").text


def test_a_report_that_comes_while_its_page_is_made_is_on_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the page would not look for it: what it tells as its state would be the new one."""
    reports = reports_of(service)
    last: dict[Kind, Report] = {}
    monkeypatch.setattr(reports, "_last", last)

    async def meanwhile(connection: Any) -> Status:
        last[Kind.PLAN] = Report(datetime.now(UTC), timedelta(), None, "It came meanwhile.")
        return await read_status(connection)

    monkeypatch.setattr(pages, "read_status", meanwhile)
    assert service.page("/migrations/plan").notices("error") == ["It came meanwhile."]


def test_says_why_there_is_no_report_and_what_to_type(
    local_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_project.forwards().code == 0
    local_project.write("2026-01-03", ["CREATE TABLE three (id int)"])
    with login(local_project.database) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url) as service:
            for kind in ("plan", "drift"):
                (refusal,) = service.made(kind).notices("error")
                assert "the role cannot create a scratch database" in refusal
                assert "--scratch embedded" in refusal


def test_unknown_output_goes_to_the_log_only(
    local_project: Project, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    ends = 'async def forwards():\n    os.write(2, b"what it quotes")\n    os._exit(9)\n'
    local_project.file("2026-01-01").write_text(f'import os\n\nID = "2026-01-01"\n\n\n{ends}')
    page = service.made("plan")
    assert "what it quotes" not in page.text
    assert "Its output is in the service's log." in page.text
    assert "what it quotes" in caplog.text


@pytest.fixture
def sleeping(local_project: Project) -> Project:
    """A migration is pending that does not end."""
    assert local_project.forwards().code == 0
    local_project.write("2026-01-03", ["SELECT pg_sleep(3600)"])
    return local_project


def sessions(url: str) -> list[str]:
    """What the role is doing on the server."""
    rows = query(
        server_url(),
        "SELECT query FROM pg_stat_activity WHERE usename = $1 AND application_name <> $2",
        urlsplit(url).username,
        APPLICATION_NAME,
    )
    return [row["query"] for row in rows]


def test_a_running_report_ends_with_the_service(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with login(sleeping.database, "CREATEDB") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url) as service:
            service.request("plan")
            wait_until(lambda: any("pg_sleep" in each for each in sessions(url)), "it was run")
        wait_until(lambda: not sessions(url), "its sessions ended")
        execute(server_url(), *leftovers(url))


def test_a_report_that_takes_too_long_is_stopped(
    sleeping: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with login(sleeping.database, "CREATEDB") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        with serving(url, timeout=3) as service:
            page = service.made("plan")
            assert page.notices("error") == ["It took longer than 3 s and was stopped."]
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
