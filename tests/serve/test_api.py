"""The JSON under /api/: for operators only, and its errors are JSON, too."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from partman.serve.app import LARGEST_BODY
from partman.serve.migrations.api import routes
from tests.serve.organizations import ANN, OLGA, PASSWORD, PRODUCT_HASH
from tests.serve.visitors import SECRET, Console, Visitor

FILLED_IN = {"app": "partman", "id": "2026-11-22T17:19:00:525788"}
READS = {route.path.format_map(FILLED_IN) for route in routes([]) if "GET" in (route.methods or ())}
WRITES = ("/api/plan", "/api/drift")
NOT_YET = "/api/migrations/partman/2026-11-22T17:19:00:525788/plan"


def facts(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.status_code == status, answer.text
    return answer.json()


def error(answer: httpx.Response, status: int) -> str:
    told = facts(answer, status)
    assert told.keys() == {"error"}
    text: str = told["error"]
    assert text
    return text


def test_it_is_for_operators(shared_console: Console) -> None:
    ann, olga, nobody = (
        shared_console.signed_in(ANN),
        shared_console.signed_in(OLGA),
        shared_console.visitor(),
    )
    for path in READS:
        assert error(nobody.get(path), 401) == "Sign in first."
        assert error(ann.get(path), 403) == "Only platform operators may see this."
        if path == NOT_YET:
            assert "Make a plan with: POST /api/plan" in error(olga.get(path), 404)
        else:
            facts(olga.get(path))
    for path in WRITES:
        assert error(nobody.post(path), 401)
        assert error(ann.post(path), 403)
    assert set(facts(olga.get("/api"))["paths"]) < {route.path for route in routes([])}


def test_a_program_signs_in_without_a_page(shared_console: Console) -> None:
    program = shared_console.visitor()
    answer = program.post("/sign-in", {"username": OLGA.address, "password": PASSWORD})
    assert answer.status_code == 303
    facts(program.get("/api/migrations"))


def test_errors_are_json(shared_console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    olga = shared_console.signed_in(OLGA)
    assert error(olga.get("/api/nowhere"), 404) == "There is nothing at this address."
    assert "no migration x of the app y" in error(olga.get("/api/migrations/y/x"), 404)
    assert error(olga.ask("DELETE", "/api/plan"), 405)
    assert error(olga.post("/api/plan", **{"X-CSRFToken": "wrong"}), 403)
    assert error(olga.post("/api/plan", **{"Sec-Fetch-Site": "cross-site"}), 403)
    assert error(olga.get("/api/plan", Host="elsewhere.example"), 400)
    assert error(olga.post("/api/plan", b"x" * (LARGEST_BODY + 1)), 413)

    async def fail(*_: object) -> None:
        raise LookupError("a row")

    monkeypatch.setattr("partman.serve.reader.Reader.ask", fail)
    assert "a row" not in error(olga.get("/api/migrations"), 500)


def test_what_a_page_asks_by_itself_does_not_prolong_the_session(shared_console: Console) -> None:
    olga = shared_console.signed_in(OLGA)
    ends = "SELECT max(expiry_date) FROM console_sessions"
    shared_console.query("UPDATE console_sessions SET expiry_date = now() + interval '1 minute'")
    before = shared_console.value(ends)
    facts(olga.get("/api/activity", **{"X-By-Itself": "yes"}))
    assert shared_console.value(ends) == before
    facts(olga.get("/api/activity"))
    assert shared_console.value(ends) > before


def test_no_page_and_no_answer_has_a_secret(shared_console: Console) -> None:
    olga = shared_console.signed_in(OLGA)
    hashes = shared_console.query("SELECT password AS secret FROM console_accounts")
    tokens = shared_console.query("SELECT token AS secret FROM console_sessions")
    secrets = {
        PRODUCT_HASH,
        SECRET.decode(),
        shared_console.database.url,
        urlsplit(shared_console.database.url).password or PRODUCT_HASH,
        *(row["secret"] for row in (*hashes, *tokens)),
    }
    pages = ("", "/plan", "/drift", "/diagram", "/diagram.svg", ".json")
    for path in (*READS, *(f"/migrations{page}" for page in pages), "/password", "/organization"):
        text = olga.get(path).text
        assert [secret for secret in secrets if secret in text] == [], path


def test_health_is_what_the_probe_says(shared_console: Console) -> None:
    visitor: Visitor = shared_console.signed_in(OLGA)
    assert facts(visitor.get("/api/health")) == visitor.get("/health/ready").json()
