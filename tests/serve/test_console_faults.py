"""An answer says what has become of the rows, whatever becomes of the database."""

import asyncio
import http.client
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from partman.serve.console import pool
from tests.faults.processes import DEADLINE, wait_until
from tests.serve.organizations import ACME, ANN, BOB, BRAVO, PASSWORD, TABLES, Organization
from tests.serve.page import Page
from tests.serve.processes import serving
from tests.serve.visitors import FORM, ROWS, Console, Visitor, everything_of, visited
from tests.support import Database, OpenSession, execute
from tests.tenants import held

PARTNER = f"partners/row/{ACME.rows['partners']}"
CHANGED = {"name": "changed"}


def name_of_partner(console: Console) -> str:
    name: str = console.value("SELECT name FROM partners WHERE id = $1", ACME.rows["partners"])
    return name


def when_committing(console: Console, what: str) -> None:
    execute(
        console.database.url,
        "CREATE FUNCTION at_the_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN {what}; RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER at_the_end AFTER UPDATE ON partners"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_the_end()",
    )


def test_a_failed_commit_is_not_reported_as_success(console: Console, ann: Visitor) -> None:
    when_committing(console, "RAISE EXCEPTION 'not on Fridays'")
    refused = ann.save(PARTNER, name="changed")
    assert refused.status_code == 422
    assert Page(refused.text).notices("error") == ["not on Fridays. Nothing was changed."]
    assert Page(refused.text).fields()["name"] == "changed"
    assert name_of_partner(console) == "Partner of Acme"


def test_an_unknown_outcome_is_not_reported_as_success(console: Console, ann: Visitor) -> None:
    """The connection is lost between the statement and the answer to COMMIT."""
    when_committing(console, "PERFORM pg_terminate_backend(pg_backend_pid())")
    refused = ann.save(PARTNER, name="changed")
    assert refused.status_code == 503
    assert "The database is unavailable" in refused.text
    assert name_of_partner(console) == "Partner of Acme"


def test_a_refused_request_is_rolled_back_completely(console: Console, ann: Visitor) -> None:
    execute(
        console.database.url,
        "CREATE TABLE done (what text)",
        "GRANT INSERT ON done TO partman_app",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO done VALUES (TG_OP); RETURN OLD; END $$",
        "CREATE TRIGGER note BEFORE DELETE ON alerts FOR EACH ROW EXECUTE FUNCTION note()",
    )
    before = everything_of(console, ACME)
    for other in (BRAVO.rows["alerts"], ACME.id):
        assert ann.remove("alerts", ACME.rows["alerts"], other).status_code == 404
    assert everything_of(console, ACME) == before
    assert console.value("SELECT count(*) FROM done") == 0
    assert none_in_transaction(console)
    assert ann.remove("alerts", ACME.rows["alerts"]).status_code == 303
    assert console.value("SELECT count(*) FROM done") == 1


def none_in_transaction(console: Console) -> bool:
    return {state for state, _ in console.sessions()} <= {"idle"}


def test_a_lost_connection_is_no_persons_fault(console: Console, ann: Visitor) -> None:
    sent = ann.filled(PARTNER, **CHANGED)
    with held(console.database.url, "LOCK TABLE partners IN EXCLUSIVE MODE"):
        asked = console.portal.start_task_soon(ann.aform, ROWS + PARTNER, sent)
        wait_until(console.waits_for_a_lock, "it is waiting")
        console.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'partman' AND datname = current_database()"
        )
        refused = asked.result()
    assert refused.status_code == 503
    assert name_of_partner(console) == "Partner of Acme"
    assert ann.save(PARTNER, name="changed").status_code == 303


def test_lock_waits_are_limited(filled_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pool._LIMITS, "lock_timeout", "10ms")
    with visited(filled_database) as console:
        ann = console.signed_in(ANN)
        sent = ann.filled(PARTNER, **CHANGED)
        with held(filled_database.url, "LOCK TABLE partners IN EXCLUSIVE MODE"):
            refused = ann.send_form(ROWS + PARTNER, sent)
        assert refused.status_code == 503
        page = Page(refused.text)
        assert "Somebody else is changing it at the moment" in page.text
        assert page.fields()["name"] == "changed"
        assert ann.save(PARTNER, name="changed").status_code == 303


def test_the_service_ends_though_a_request_hangs(filled_database: Database) -> None:
    with visited(filled_database) as console:
        sent = console.signed_in(ANN).filled(PARTNER, **CHANGED)
    with held(filled_database.url, "LOCK TABLE partners IN EXCLUSIVE MODE"):
        with visited(filled_database) as console:
            ann = console.signed_in(ANN)
            asked = console.portal.start_task_soon(ann.aform, ROWS + PARTNER, sent)
            wait_until(console.waits_for_a_lock, "it is waiting")
        assert asked.done()
    assert asked.result().status_code == 503
    with closing(OpenSession(filled_database.url)) as owner:
        ended = replace(console, owner=owner)
        wait_until(lambda: none_in_transaction(ended), "the server has noticed")
        assert name_of_partner(ended) == "Partner of Acme"


def test_a_disconnected_client_leaves_no_transaction_open(console: Console, ann: Visitor) -> None:
    sent = ann.filled(PARTNER, **CHANGED)
    with held(console.database.url, "LOCK TABLE partners IN EXCLUSIVE MODE"):
        asked = console.portal.start_task_soon(ann.aform, ROWS + PARTNER, sent)
        wait_until(console.waits_for_a_lock, "it is waiting")
        asked.cancel()
        wait_until(lambda: none_in_transaction(console), "it was given back")
    assert name_of_partner(console) == "Partner of Acme"
    assert ann.send_form(ROWS + PARTNER, sent).status_code == 303


def test_a_slow_client_occupies_no_connection(console: Console, ann: Visitor) -> None:
    """Ten of them would keep all, and with them everybody else."""
    asks, goes_on = threading.Event(), asyncio.Event()
    body = urlencode(ann.filled(PARTNER, **CHANGED)).encode()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:10]
        asks.set()
        await goes_on.wait()
        yield body[10:]

    asked = console.portal.start_task_soon(ann.aask, "POST", ROWS + PARTNER, slowly(), FORM)
    try:
        assert asks.wait(DEADLINE)
        assert none_in_transaction(console)
    finally:
        console.portal.call(goes_on.set)
    assert asked.result().status_code == 303
    assert name_of_partner(console) == "changed"


def test_a_large_body_leaves_nothing_to_the_next_request(
    filled_database: Database, tmp_path: Path
) -> None:
    """On a connection that is kept, as a proxy's is, whoever asks next may be somebody else."""
    with (
        serving(tmp_path, filled_database.environment) as service,
        closing(http.client.HTTPConnection(urlsplit(service.url).netloc)) as browser,
    ):
        ann, bob = (sign_in(browser, account.address) for account in (ANN, BOB))
        path = f"{ROWS}opportunities/row/{ACME.rows['opportunities']}"
        form = Page(ask(browser, "GET", path, "", ann)).fields() | {"notes": "x" * 900_000}
        ask(browser, "POST", path, urlencode(form), ann, 303)
        assert "x" * 900_000 in ask(browser, "GET", path, "", ann)
        partners = ask(browser, "GET", f"{ROWS}partners.csv", "", bob)
        assert "Partner of Bravo" in partners
        assert "Acme" not in partners


def sign_in(browser: http.client.HTTPConnection, address: str) -> str:
    """Return the cookies of somebody who has signed in."""
    form = urlencode({"username": address, "password": PASSWORD})
    headers = {
        "Cookie": "csrftoken=token",
        "X-CSRFToken": "token",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    browser.request("POST", "/sign-in", form, headers)
    answer = browser.getresponse()
    answer.read()
    assert answer.status == 303
    return f"csrftoken=token; {(answer.getheader('Set-Cookie') or '').partition(';')[0]}"


def ask(
    browser: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str,
    cookies: str,
    status: int = 200,
) -> str:
    form = "application/x-www-form-urlencoded"
    headers = {"Cookie": cookies, "X-CSRFToken": "token", "Content-Type": form}
    browser.request(method, path, body, headers)
    answer = browser.getresponse()
    output = answer.read().decode()
    assert answer.status == status, output
    return output


def test_two_organizations_at_once_are_never_mixed(console: Console) -> None:
    """200 requests on ten connections, half of them changes."""
    visitors = {
        tenant: console.signed_in(account) for tenant, account in ((ACME, ANN), (BRAVO, BOB))
    }

    forms = {
        tenant: dict(visitor.filled(f"partners/row/{tenant.rows['partners']}"))
        for tenant, visitor in visitors.items()
    }
    # Each changes what was there when its form was opened.
    execute(console.database.url, "ALTER TABLE partners DISABLE TRIGGER set_updated_at")

    async def visit(tenant: Organization, number: int) -> None:
        visitor = visitors[tenant]
        if number % 2:
            form = forms[tenant] | {"website": f"{tenant.name} {number}"}
            path = f"{ROWS}partners/row/{tenant.rows['partners']}"
            answer = await visitor.aform(path, list(form.items()))
            assert answer.headers["location"].startswith(path)
        else:
            table = TABLES[number // 2 % len(TABLES)]
            answer = await visitor.aask("GET", f"{ROWS}{table}.csv")
            assert str(tenant.rows[table]) in answer.text
            assert len(answer.text.splitlines()) == 2

    async def visit_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                for tenant in visitors:
                    group.create_task(visit(tenant, number))

    console.portal.call(visit_at_once)
    for tenant in visitors:
        assert console.value(
            "SELECT starts_with(website, $2) FROM partners WHERE organization_id = $1",
            tenant.id,
            f"{tenant.name} ",
        )
    assert none_in_transaction(console)
