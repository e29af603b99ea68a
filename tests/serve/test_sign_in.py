"""Signing in: who may, how often, and what is told of it."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from partman.serve.people import account_base
from partman.serve.people.accounts import (
    ATTEMPTS_OF_ADDRESS,
    ATTEMPTS_OF_CLIENT,
    COOKIE,
    WINDOW,
)
from partman.tables.console_accounts import ConsoleAccount
from tests.serve.organizations import (
    ACME,
    ANN,
    BOB,
    BRAVO,
    OLGA,
    PASSWORD,
    PRODUCT_HASH,
    Account,
)
from tests.serve.page import Page
from tests.serve.visitors import CSRF, SECRET, Console, Visitor, everything_of, sessions_with

FIELDS = ("username", "password")
WRONG = "not the password"
NEW_PASSWORD = "as good as the one before"
# Imported before there are fast_hashes().
USUAL_ROUNDS = ConsoleAccount._pbkdf2_iteration_count
NOBODYS_HASH = account_base._NOBODYS_HASH
NOBODY = "nobody@acme.example"


def on_page(visitor: Visitor, address: str, password: str = WRONG) -> httpx.Response:
    return visitor.sign_in(address, password)


def in_api(visitor: Visitor, address: str, password: str = WRONG) -> httpx.Response:
    """As a script would."""
    return visitor.post("/sign-in", {"username": address, "password": password})


Attempt = Callable[..., httpx.Response]
both = pytest.mark.parametrize("attempt", [on_page, in_api])


@both
def test_with_the_password_and_the_address_in_any_case(console: Console, attempt: Attempt) -> None:
    for address in (ANN.address, f" {ANN.address.upper()} "):
        visitor = console.visitor()
        assert attempt(visitor, address, PASSWORD).status_code in {200, 303}
        assert ANN.address in visitor.get("/password").text
    assert console.value("SELECT last_login FROM console_accounts WHERE id = $1", ANN.id)


@both
def test_a_failed_sign_in_does_not_reveal_whether_an_account_exists(
    console: Console, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are the same, and so is the work: one hash of as many rounds."""
    rounds: list[int] = []
    hash_password = ConsoleAccount.hash_password

    def counted(password: str, salt: str = "", iterations: int | None = None) -> str:
        rounds.append(iterations or ConsoleAccount._pbkdf2_iteration_count)
        return hash_password(password, salt, 1).replace("$1$", f"${USUAL_ROUNDS}$")

    monkeypatch.setattr(ConsoleAccount, "hash_password", counted)
    monkeypatch.setattr(account_base, "_NOBODYS_HASH", NOBODYS_HASH)
    usual = hash_password(PASSWORD, "salt", 1).replace("$1$", f"${USUAL_ROUNDS}$")
    console.query("UPDATE console_accounts SET password = $1", usual)
    console.query("UPDATE console_accounts SET active = false WHERE id = $1", BOB.id)

    attempts = [
        (ANN.address, WRONG),
        (NOBODY, WRONG),
        (BOB.address, PASSWORD),  # disabled
        ("user@acme.example", PASSWORD),  # a user of the product
    ]
    answers = [attempt(console.visitor(), *each) for each in attempts]

    assert {each.status_code for each in answers} == {401}
    texts = [each.text for each in answers]
    pages = {text.replace(address, "") for text, (address, _) in zip(texts, attempts, strict=True)}
    assert len(pages) == 1, "but for the address, which the page keeps"
    assert {tuple(each.headers.keys()) for each in answers} == {tuple(answers[0].headers.keys())}
    assert len(rounds) == len(attempts)
    assert len(set(rounds)) == 1


def test_only_the_password_is_typed_again(console: Console) -> None:
    for number in range(ATTEMPTS_OF_CLIENT + 1):
        address = f'"><b>{number}' if number else ANN.address
        answer = on_page(console.visitor(), f" {address} ")
        page = Page(answer.text)
        username, password = (page.main.each("input", name=name) for name in FIELDS)
        assert username.attributes["value"] == address
        assert "autofocus" not in username.attributes
        assert "autofocus" in password.attributes
        assert "value" not in password.attributes
        assert page.main.each(id=password.attributes["aria-describedby"]).text
    assert answer.status_code == 429
    page = Page(console.visitor().get("/sign-in").text)
    username, password = (page.main.each("input", name=name) for name in FIELDS)
    assert username.attributes["value"] == ""
    assert ("autofocus" in username.attributes, "autofocus" in password.attributes) == (True, False)


def test_one_account_can_be_tried_only_so_often_from_wherever(
    console: Console, log: pytest.LogCaptureFixture
) -> None:
    for number in range(ATTEMPTS_OF_ADDRESS):
        visitor = Visitor(console, {}, address=f"192.0.2.{number}")
        attempt = (on_page, in_api)[number % 2]
        address = (ANN.address, ANN.address.upper())[number % 2]
        assert attempt(visitor, address).status_code == 401
    for attempt in (on_page, in_api):
        late = Visitor(console, {}, address="192.0.2.99")
        assert attempt(late, ANN.address, PASSWORD).status_code == 401
    assert "Too many attempts to sign in to one account." in log.text
    assert ANN.address not in log.text
    assert on_page(console.visitor(), BOB.address, PASSWORD).status_code == 303


def test_one_client_may_try_only_so_often_on_whichever_accounts(console: Console) -> None:
    for number in range(ATTEMPTS_OF_CLIENT):
        attempt = (on_page, in_api)[number % 2]
        attempt(console.visitor(), f"{'x' * 200}{number}")  # no such account: it is not even hashed
    for attempt in (on_page, in_api):
        refused = attempt(console.visitor(), ANN.address, PASSWORD)
        assert (refused.status_code, COOKIE in refused.cookies) == (429, False)
        elsewhere = Visitor(console, {}, address="192.0.2.99")
        assert attempt(elsewhere, ANN.address, PASSWORD).status_code in {200, 303}
    assert console.visitor().get("/sign-in").status_code == 200, "the page is still there"


def test_a_block_is_over_after_five_minutes(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(ATTEMPTS_OF_CLIENT + 1):
        refused = on_page(console.visitor(), ANN.address)
    assert refused.status_code == 429
    later = time.time() + WINDOW + 1
    monkeypatch.setattr("piccolo_api.rate_limiting.middleware.time", lambda: later)
    assert on_page(console.visitor(), ANN.address, PASSWORD).status_code == 303


def test_looking_at_a_page_is_no_attempt(console: Console) -> None:
    """Any site can have a browser look at one."""
    for _ in range(ATTEMPTS_OF_CLIENT + 1):
        console.visitor().get("/sign-in", **{"Sec-Fetch-Site": "cross-site"})
    assert on_page(console.visitor(), ANN.address, PASSWORD).status_code == 303


ODD_BODIES = [
    b"",
    b"[]",
    b"1",
    b"null",
    b'"text"',
    b"{}",
    b"{",
    b"\xff",
    b"[" * 100_000,
    b"1" * 5000,
    *(
        json.dumps(dict.fromkeys(("username", "password", "current_password", "new_password"), odd))
        .replace("replace me", "\\ud800")
        .encode()
        for odd in (None, 1, 1.5, True, [], ["a"], {}, {"a": "b"}, "", "a\0b", "replace me")
    ),
]
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="username"; filename="f"\r\n\r\na\r\n--x--\r\n'
)


@pytest.mark.parametrize("path", ["/sign-in", "/password"])
def test_fields_that_are_no_text_are_refused(shared_console: Console, path: str) -> None:
    ann = shared_console.signed_in(ANN)
    bodies = [("application/json", body) for body in ODD_BODIES]
    bodies += [("multipart/form-data; boundary=x", body) for body in (MULTIPART, b"--x", b"")]
    bodies += [("application/x-www-form-urlencoded", b"username=%00&password=%ff")]
    for number, (kind, body) in enumerate(bodies):
        ann.address = f"192.0.2.{number}"  # not one attempt too many
        answer = ann.ask("POST", path, body, {"Content-Type": kind})
        assert answer.status_code in {400, 401, 422}, (kind, body[:50], answer.text)


def test_an_operator_chooses_among_the_active_organizations(
    console: Console, log: pytest.LogCaptureFixture
) -> None:
    olga = console.signed_in(OLGA)
    assert olga.get("/console/").headers["location"] == "/organization"
    for unknown in ("nowhere", "a\0b", "x" * 1000, "acme; DROP TABLE users", "<b>"):
        refused = olga.form("/organization", subdomain=unknown)
        assert (refused.status_code, "<b>" in refused.text) == (404, False)
    console.query("UPDATE organizations SET is_active = false WHERE id = $1", BRAVO.id)
    assert olga.form("/organization", subdomain="bravo").status_code == 404
    assert olga.form("/organization", subdomain=" ACME ").headers["location"] == "/console/"
    assert ">Acme</a>" in olga.get("/console/").text
    assert log.messages == [f"{OLGA.address} looks at ACME"]
    assert olga.form("/organization", subdomain="").headers["location"] == "/organization"
    assert olga.get("/console/").headers["location"] == "/organization"


def listed(visitor: Visitor, query: str = "") -> dict[str, str]:
    """The IDs of the organizations among which an operator chooses, by name and subdomain."""
    page = Page(visitor.get(f"/organization{query}").text)
    return {each.text: each.attributes["value"] for each in page.main.all("button", name="ID")}


def test_an_operator_chooses_an_organization_from_a_list_with_a_search(console: Console) -> None:
    olga, ann = console.signed_in(OLGA), console.signed_in(ANN)
    default = str(console.value("SELECT id FROM organizations WHERE subdomain = 'default'"))
    everyone = {"Acme acme": str(ACME.id), "Bravo bravo": str(BRAVO.id)}
    assert listed(olga) == everyone | {"Default Organization default": default}
    assert listed(olga, "?q=%20BRA") == {"Bravo bravo": str(BRAVO.id)}
    console.query("UPDATE organizations SET name = '100%_Ärmel' WHERE id = $1", BRAVO.id)
    for text in ("%25_", "\u00e4RM", "rav", "100%25_\u00c4rmel"):
        assert set(listed(olga, f"?q={text}").values()) == {str(BRAVO.id)}, text
    for text in ("%00", "\\", "x' OR true --", "_____________", "1000"):
        assert listed(olga, f"?q={text}") == {}, text
        assert "No active organization is called so." in olga.get(f"/organization?q={text}").text
    assert olga.form("/organization", ID=str(BRAVO.id)).headers["location"] == "/console/"
    for unknown in ("1", "x" * 1000, "\0", str(ACME.id)[:-1] + "1"):
        refused = olga.form("/organization", ID=unknown)
        assert refused.status_code == 404
        assert "No active organization has the ID" in refused.text
    console.query("UPDATE organizations SET is_active = false WHERE id = $1", ACME.id)
    assert str(ACME.id) not in listed(olga).values()
    assert olga.form("/organization", ID=str(ACME.id)).status_code == 404

    assert listed(ann) == listed(ann, "?q=bravo&page=2") == {}
    ann.form("/organization", ID=str(BRAVO.id))
    assert ann.get("/console/").headers["location"] == "/organization", "it is deactivated"


def test_an_operator_finds_each_of_10000_organizations(console: Console) -> None:
    console.query(
        "INSERT INTO organizations (name, subdomain, settings)"
        " SELECT 'Company ' || n, 'c' || n, '{}' FROM generate_series(1, 10000) AS n"
    )
    olga = console.signed_in(OLGA)
    page = Page(olga.get("/organization?q=company").text)
    assert len(page.main.all("button", name="ID")) == 50
    assert "1 to 50 of 10,000" in page.main.text
    seen: list[str] = []
    path = "/organization?q=company%2099"
    while path:
        page = Page(olga.get(path).text)
        seen += [each.text for each in page.main.all("button", name="ID")]
        [path] = [each.attributes["href"] for each in page.main.all("a", rel="next")] or [""]
    numbers = [n for n in range(1, 10001) if str(n).startswith("99")]
    assert seen == sorted(f"Company {n} c{n}" for n in numbers)
    # What begins with the text comes before what only has it inside.
    console.query("UPDATE organizations SET name = '9 to 5' WHERE subdomain = 'c77'")
    assert next(iter(listed(olga, "?q=9"))) == "9 to 5 c77"
    # A page that is there no more.
    for gone in ("201", "99999", "0", "-1", "x", "1" * 30, "%00"):
        assert len(listed(olga, f"?q=company&page={gone}")) == 50, gone


def test_an_older_database_lists_the_organizations_with_an_account(console: Console) -> None:
    console.query("DROP FUNCTION active_organizations")
    olga = console.signed_in(OLGA)
    assert listed(olga) == {each.name: str(each.id) for each in (ACME, BRAVO)}
    assert listed(olga, "?q=BRA") == {"Bravo": str(BRAVO.id)}
    assert "Any other is found by its subdomain." in olga.get("/organization").text
    console.query("DELETE FROM console_accounts WHERE id = $1", BOB.id)
    assert listed(olga) == {"Acme": str(ACME.id)}


@pytest.mark.parametrize("path", ["/organization", "/organization?q=a", "/sign-in"])
def test_nobody_learns_names_before_signing_in(shared_console: Console, path: str) -> None:
    visitor = shared_console.visitor()
    for answer in (visitor.get(path), visitor.form(path, ID=str(ACME.id), subdomain="acme")):
        assert not {"Acme", "Bravo", "Default"} & set(answer.text.replace("<", " ").split())


@pytest.mark.parametrize("account", [ANN, OLGA], ids=["admin", "operator"])
def test_of_a_deactivated_organization_nothing_is_shown(console: Console, account: Account) -> None:
    """As in the product, where nobody of it may sign in; it may happen while somebody looks."""
    visitor = console.signed_in(account, ACME.id if account is OLGA else None)
    path = f"partners/row/{ACME.rows['partners']}"
    sent = visitor.filled(path, name="changed")
    activate = "UPDATE organizations SET is_active = $2 WHERE id = $1"
    for inactive in (False, None):
        console.query(activate, ACME.id, inactive)
        before = everything_of(console, ACME)
        for answer in (
            visitor.get("/console/"),
            visitor.get("/console/partners.csv"),
            visitor.get(f"/console/{path}"),
            visitor.send_form(f"/console/{path}", sent),
        ):
            assert (answer.status_code, answer.headers["location"]) == (303, "/organization")
        page = visitor.get("/organization").text
        assert ("No organization is chosen" if account is OLGA else "is deactivated") in page
        assert everything_of(console, ACME) == before
    console.query(activate, ACME.id, True)
    assert ">Acme</a>" in visitor.get("/console/").text


def test_an_admin_has_no_choice(console: Console) -> None:
    ann = console.signed_in(ANN)
    assert ann.form("/organization", subdomain="bravo").status_code == 200
    console.query("UPDATE console_sessions SET organization_id = $1", BRAVO.id)
    assert ">Acme</a>" in ann.get("/console/").text
    assert [row["id"] for row in ann.rows("organizations")] == [str(ACME.id)]


def test_an_organizations_name_is_text(console: Console) -> None:
    name = "<script>alert(1)</script>"
    console.query("UPDATE organizations SET name = $1", name)
    ann = console.signed_in(ANN)
    for path in ("/console/", "/password"):
        page = ann.get(path).text
        assert name not in page
        assert "&lt;script&gt;alert(1)" in page


def test_the_log_of_a_whole_visit_has_no_secret(
    console: Console, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = capture_everything(caplog, monkeypatch)
    visitor = console.visitor()
    partner, user = (f"{each}/row/{ACME.rows[each]}" for each in ("partners", "users"))

    on_page(visitor, ANN.address, WRONG)
    on_page(visitor, ANN.address, PASSWORD)
    first = visitor.cookies[COOKIE]
    visitor.get(f"/console/?token={first}")
    assert visitor.save(partner, name="a secret name").status_code == 303
    assert visitor.save(partner, relationship_health="12345").status_code == 422
    sent = visitor.filled(partner, name="a secret name, too")
    console.query("ALTER TABLE partners RENAME TO elsewhere")
    assert visitor.send_form(f"/console/{partner}", sent).status_code == 503
    monkeypatch.setattr("partman.serve.console.form_view.is_unchanged", fail_with_a_row)
    assert visitor.save(user, first_name="a secret name").status_code == 500
    fields = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    visitor.form("/password", confirm_new_password=NEW_PASSWORD, **fields)
    in_api(visitor, ANN.address, NEW_PASSWORD)
    second = visitor.cookies[COOKIE]
    visitor.post("/sign-out")

    assert first != second
    sessions = sessions_with(SECRET)
    hashes = [row["password"] for row in console.query("SELECT password FROM console_accounts")]
    secrets = [PASSWORD, WRONG, NEW_PASSWORD, first, second, SECRET.decode(), *hashes]
    secrets += [sessions.keyed(first), sessions.keyed(second), PRODUCT_HASH, "a secret name"]
    secrets += [visitor.cookies[CSRF], "user@acme.example", "12345"]
    output = "\n".join(everything)
    assert "UndefinedTableError (42P01)" in output
    assert "POST" in output
    assert [secret for secret in secrets if secret in output] == []


def capture_everything(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What any logger that is on says, with the tracebacks; but for the browser's own."""
    lines: list[str] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith(("httpx", "httpcore")):
                lines.append(logging.Formatter("%(message)s %(args)s").format(record))

    monkeypatch.setattr(logging.getLogger("partman"), "propagate", True)
    for name in logging.root.manager.loggerDict:
        caplog.set_level(logging.DEBUG, name)
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.root, "handlers", [Everything()])
    return lines


def fail_with_a_row(*values: Any) -> bool:
    raise LookupError(*values)
