"""Every answer carries the security headers, and other sites get nothing done."""

from collections.abc import AsyncIterator

import pytest

from partman.serve.app import LARGEST_BODY
from partman.serve.settings import ServiceSettings
from tests.serve.organizations import ANN, OLGA
from tests.serve.visitors import CSRF, DEPLOYED, HOST, SECRET, Console, visited
from tests.support import Database, temporary_database

HEADERS = {
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "cache-control",
    "strict-transport-security",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

ANSWERS = [
    ("GET", "/", 303),
    ("GET", "/sign-in", 200),
    ("HEAD", "/sign-in", 200),
    ("OPTIONS", "/sign-in", 405),
    ("DELETE", "/sign-in", 405),
    ("GET", "/sign-out", 405),
    ("POST", "/sign-out", 401),
    ("GET", "/password", 303),
    ("GET", "/organization", 303),
    ("GET", "/migrations", 303),
    ("GET", "/migrations.json", 401),
    ("GET", "/nowhere", 404),
    ("GET", "/health/live", 200),
    ("GET", "/health/ready", 200),
    ("POST", "/health/ready", 404),
    ("GET", "/metrics", 200),
    ("GET", "/static/style.css", 200),
    ("GET", "/static/nowhere.css", 404),
    ("GET", "/console", 307),
    ("GET", "/console/", 303),
    ("GET", "/console/nowhere", 307),
    ("GET", "/console/partners/", 303),
    ("GET", "/console/partners.csv", 303),
    ("POST", "/console/partners/new/", 303),
    ("POST", "/console/partners/", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_has_the_headers(
    shared_console: Console, method: str, path: str, status: int
) -> None:
    answer = shared_console.visitor().ask(method, path)
    assert answer.status_code == status
    assert set(answer.headers) >= HEADERS
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    is_static = path.startswith("/static/")
    assert answer.headers["cache-control"] == ("no-cache" if is_static else "no-store")


@pytest.mark.parametrize("path", ["/migrations", "/password", "/organization", "/console/"])
def test_pages_after_signing_in_have_the_security_headers(
    shared_console: Console, path: str
) -> None:
    ann = shared_console.signed_in(ANN).get(path)
    assert ann.status_code == (403 if path == "/migrations" else 200)
    assert set(ann.headers) >= HEADERS
    assert shared_console.signed_in(OLGA).get("/migrations").status_code == 200


def test_an_error_has_them_and_says_nothing_of_itself(
    shared_console: Console, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError(quoted)

    quoted = f"the name of {ANN.address}"

    monkeypatch.setattr("partman.serve.people.sign_in.render", fail)
    answer = shared_console.visitor().get("/sign-in")
    assert answer.status_code == 500
    assert set(answer.headers) >= HEADERS
    assert quoted not in answer.text + log.text
    assert "GET /sign-in: LookupError\n" in log.text
    assert "sign_in.py" in log.text, "where it was is told"


@pytest.mark.parametrize("path", ["/sign-in", "/console/partners/new/", "/health/live"])
def test_another_site_gets_nothing_done(shared_console: Console, path: str) -> None:
    visitor = shared_console.visitor()
    for site in ("cross-site", "same-site"):
        refused = visitor.post(path, {}, **{"Sec-Fetch-Site": site})
        assert (refused.status_code, set(refused.headers) >= HEADERS) == (403, True)
        assert refused.text == "Another site sent this request. Nothing was done."
    assert visitor.get("/sign-in", **{"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/console/partners/new/", "/health/live"])
def test_an_origin_of_another_site_gets_nothing_done_over_http_too(
    shared_console: Console, path: str
) -> None:
    """Over plain HTTP, a browser sends no Sec-Fetch-Site."""
    visitor = shared_console.visitor()

    def answered(origin: str, host: str) -> str:
        headers = {"Origin": origin, "Host": host, "Sec-Fetch-Site": ""}
        return visitor.post(path, {}, **headers).text

    refused = "Another site sent this request. Nothing was done."
    for origin, host in (
        ("http://elsewhere.example", HOST),
        (f"http://{HOST}.elsewhere.example", HOST),
        (f"http://{HOST}:3000", f"{HOST}:8000"),
        (f"http://{HOST}", f"{HOST}:8000"),
        ("null", HOST),
        ("", HOST),
        ("http://[::1", HOST),
        ("http://[::1]:3000", "[::1]:8000"),
    ):
        assert answered(origin, host) == refused, (origin, host)
    for origin, host in (
        (f"http://{HOST}", HOST),
        (f"https://{HOST.upper()}", HOST),
        (f"http://{HOST}:8000", f"{HOST}:8000"),
        (f"https://{HOST}:8443", HOST),  # a proxy that leaves the port out
        ("http://[::1]:8000", "[::1]:8000"),
    ):
        assert answered(origin, host) != refused, (origin, host)


def test_changes_need_the_csrf_token(shared_console: Console) -> None:
    ann = shared_console.signed_in(ANN)
    for path in ("/sign-in", "/sign-out", "/password", "/organization", "/console/partners/new/"):
        assert ann.post(path, {}, **{"X-CSRFToken": ""}).status_code == 403
        assert ann.post(path, {}, **{"X-CSRFToken": "another"}).status_code == 403
        assert ann.post(path, {}, Origin="https://elsewhere.example").status_code == 403
        assert ann.post(path, {}, Origin="null").status_code == 403
    ann.cookies.pop(CSRF)
    assert ann.post("/sign-out").status_code == 403
    assert ann.get("/password").status_code == 200, "nothing has ended the session"


@pytest.mark.parametrize("path", ["/sign-in", "/console/partners/new/", "/migrations/plan"])
def test_a_body_that_is_too_large_is_not_read(shared_console: Console, path: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 1000 + 1):
            yield b"x" * 1000

    olga = shared_console.signed_in(OLGA)
    output = olga.ask("POST", path, b"x" * (LARGEST_BODY + 1), FORM | {"X-CSRFToken": ""})
    untold = olga.ask("POST", path, pieces(), FORM | {"X-CSRFToken": ""})
    for refused in (output, untold):
        assert (refused.status_code, set(refused.headers) >= HEADERS) == (413, True)


def test_the_pages_answer_to_their_own_names_only(shared_console: Console) -> None:
    visitor = shared_console.visitor()
    for host in ("elsewhere.example", f"{HOST}.elsewhere.example", f"x.{HOST}", "", "a b"):
        for path in ("/", "/sign-in", "/console/", "/console/partners/", "/nowhere"):
            refused = visitor.get(path, Host=host)
            assert (refused.status_code, set(refused.headers) >= HEADERS) == (400, True)
        # Whoever starts and routes to the service knows an address, and no name.
        assert visitor.get("/health/live", Host=host).status_code == 200
        assert visitor.get("/metrics", Host=host).status_code == 200
    assert visitor.get("/sign-in", Host=f"{HOST.upper()}:8443").status_code == 200


def test_cookies_are_for_https_and_no_script_reads_a_session(console: Console) -> None:
    visitor = console.visitor()
    signed_in = visitor.sign_in(ANN.address)
    assert signed_in.status_code == 303
    visitor.cookies.pop(CSRF)
    fresh = visitor.get("/password")
    for answer, name in ((signed_in, "id"), (fresh, CSRF)):
        [cookie] = answer.headers.get_list("set-cookie")
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert cookie.startswith(f"{name}=")
        assert {"secure", "path=/", "samesite=lax"} <= attributes
        assert ("httponly" in attributes) == (name == "id")


def test_without_https_there_is_no_promise_of_it(filled_template: Database) -> None:
    local = ServiceSettings(secret=SECRET, hosts=DEPLOYED.hosts, secure=False)
    with temporary_database(filled_template.name) as database, visited(database, local) as console:
        visitor = console.visitor()
        visitor.cookies.pop(CSRF)
        answer = visitor.get("/sign-in")
        assert "strict-transport-security" not in answer.headers
        assert "secure" not in answer.headers["set-cookie"].lower()
