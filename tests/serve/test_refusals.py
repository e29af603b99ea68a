"""What a library refuses, and an unknown address: a page for people, text for programs."""

from pathlib import Path

import pytest

from partman.errors import UnreadableMigrationError
from partman.serve.migrations import pages
from tests.serve.organizations import ANN, OLGA, Account
from tests.serve.page import Page
from tests.serve.visitors import CSRF, Console

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
REFUSED = [
    ("POST", "/sign-in", {"X-CSRFToken": "another"}, 403, "Open the page again"),
    ("POST", "/console/partners/new/", {"X-CSRFToken": ""}, 403, "Open the page again"),
    ("POST", "/password", {"Origin": "https://elsewhere.example"}, 403, "Another site"),
    ("GET", "/sign-out", {}, 405, "Method Not Allowed"),
    ("GET", "/sign-in", {"Host": "elsewhere.example"}, 400, "Invalid host header"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "said"), REFUSED)
def test_what_is_refused_is_a_page_in_a_browser(
    shared_console: Console, method: str, path: str, headers: dict[str, str], status: int, said: str
) -> None:
    ann = shared_console.signed_in(ANN)
    shown = ann.ask(method, path, headers=headers | BROWSER)
    plain = ann.ask(method, path, headers=headers)
    assert (shown.status_code, plain.status_code) == (status, status)
    page = Page(shown.text)
    assert said in page.main.text
    assert "Nothing was changed." in page.main.text
    assert "<html" not in plain.text
    for header in ("content-security-policy", "x-frame-options"):
        assert shown.headers[header] == plain.headers[header]


@pytest.mark.parametrize(
    ("account", "navigation"),
    [
        (None, []),
        (ANN, ["Console", "Password"]),
        (OLGA, ["Console", "Migrations", "Organization", "Password"]),
    ],
)
def test_an_unknown_address_keeps_the_way_on(
    shared_console: Console, account: Account | None, navigation: list[str]
) -> None:
    visitor = shared_console.signed_in(account) if account else shared_console.visitor()
    for path in ("/nowhere", "/console/partners/nowhere"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        page = Page(answer.text)
        assert [link.text for nav in page.root.all("nav") for link in nav.all("a")] == navigation
        tokens = [each.attributes["value"] for each in page.root.all("input", name=CSRF)]
        assert tokens == [visitor.cookies[CSRF]] * bool(account), "with which to sign out"


def test_a_migration_file_that_cannot_be_read_is_named(
    shared_console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(_: object) -> None:
        raise UnreadableMigrationError("partman", Path("broken.py"), "line 1")

    monkeypatch.setattr(pages, "read_activity", unreadable)
    answer = shared_console.signed_in(OLGA).get("/migrations")
    assert answer.status_code == 503
    assert "The migration file broken.py cannot be read" in Page(answer.text).text
    assert "database" not in Page(answer.text).text


def test_a_table_that_is_not_shown_is_told_from_a_row(shared_console: Console) -> None:
    ann = shared_console.signed_in(ANN)
    assert "The console has no such table." in ann.get("/console/migration/").text
    missing = ann.get("/console/partners/row/00000000-0000-0000-0000-000000000000").text
    assert "It may have been deleted, or it is another organization's." in Page(missing).main.text
