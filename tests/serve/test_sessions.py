"""A session lets in who has begun it, and ends when it should."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest

from partman.serve.people.account_base import Proven
from partman.serve.people.accounts import COOKIE, PROLONGED
from partman.tables.console_accounts import ConsoleAccount
from tests.faults.processes import wait_until
from tests.serve.organizations import ACME, ANN, BRAVO, OLGA, PASSWORD
from tests.serve.visitors import SECRET, Console, Visitor, sessions_with
from tests.support import query, run
from tests.tenants import held

NEW_PASSWORD = "as good as the one before"
OVER = timedelta(seconds=-1)


def is_signed_in(visitor: Visitor) -> bool:
    """What a page says."""
    page = visitor.get("/password")
    assert page.status_code in {200, 303}
    return page.status_code == 200


def test_the_sessions_table_contains_no_usable_token(console: Console) -> None:
    """Whoever reads it, in a backup for one, has no token."""
    visitor = console.visitor()
    visitor.sign_in(ANN.address)
    token = visitor.cookies[COOKIE]
    [row] = console.query("SELECT * FROM console_sessions")
    assert token not in str(dict(row))
    assert row["token"] == sessions_with(SECRET).keyed(token)
    for stored in (row["token"], str(row["id"]), str(row["user_id"])):
        visitor.cookies[COOKIE] = stored
        assert not is_signed_in(visitor)
    visitor.cookies[COOKIE] = token
    assert is_signed_in(visitor)


def test_another_secret_ends_all_sessions(shared_console: Console) -> None:
    visitor = shared_console.visitor()
    visitor.cookies[COOKIE] = shared_console.session(ANN, secret=b"of the service until yesterday")
    assert not is_signed_in(visitor)


def test_a_session_ends_by_itself(shared_console: Console) -> None:
    for token in (
        shared_console.session(ANN, lasts=OVER),
        shared_console.session(ANN, at_most=OVER),
    ):
        visitor = shared_console.visitor()
        visitor.cookies[COOKIE] = token
        assert not is_signed_in(visitor)


def test_those_that_are_over_are_forgotten(console: Console) -> None:
    console.session(ANN, lasts=OVER)
    console.session(ANN, at_most=OVER)
    kept = sessions_with(SECRET).keyed(console.session(OLGA))
    assert [row["token"] for row in console.query("SELECT token FROM console_sessions")] == [kept]


@pytest.mark.parametrize("path", ["/password", "/console/"])
def test_a_session_in_use_is_prolonged_and_nothing_else_of_it_changes(
    console: Console, path: str
) -> None:
    olga = console.visitor()
    olga.cookies[COOKIE] = console.session(OLGA, BRAVO.id, lasts=PROLONGED / 2)
    [before] = console.query("SELECT * FROM console_sessions")
    assert olga.get(path).status_code == 200
    [after] = console.query("SELECT * FROM console_sessions")
    prolonged = dict(before) | {"expiry_date": before["expiry_date"] + PROLONGED}
    assert dict(after) == prolonged
    assert after["organization_id"] == BRAVO.id
    assert is_signed_in(olga)
    assert console.query("SELECT * FROM console_sessions") == [after], "it lasts long enough"


@pytest.mark.parametrize(
    "meanwhile",
    [
        "DELETE FROM console_sessions",
        f"UPDATE console_sessions SET organization_id = '{BRAVO.id}'",
    ],
)
def test_prolonging_a_session_keeps_concurrent_changes(console: Console, meanwhile: str) -> None:
    """It is read, it changes, it is prolonged."""
    visitor = console.visitor()
    visitor.cookies[COOKIE] = console.session(OLGA, ACME.id, lasts=PROLONGED / 2)
    with held(console.database.url, meanwhile):
        asked = console.portal.start_task_soon(visitor.aask, "GET", "/password")
        wait_until(console.waits_for_a_lock, "it has read the session")
    assert asked.result().status_code in {200, 303}
    left = [row["organization_id"] for row in console.query("SELECT * FROM console_sessions")]
    assert left == ([] if meanwhile.startswith("DELETE") else [BRAVO.id])


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE console_accounts SET password = replace(password, '$salt$', '$pepper$')"
        f" WHERE id = {ANN.id}",
        f"UPDATE console_accounts SET active = false WHERE id = {ANN.id}",
        f"UPDATE console_accounts SET admin = false WHERE id = {ANN.id}",
        f"UPDATE console_accounts SET organization_id = '{BRAVO.id}' WHERE id = {ANN.id}",
        f"UPDATE console_accounts SET organization_id = NULL, superuser = true WHERE id = {ANN.id}",
        f"DELETE FROM console_accounts WHERE id = {ANN.id}",
        f"DELETE FROM organizations WHERE id = '{ACME.id}'",
        "TRUNCATE console_sessions",
    ],
)
def test_changing_the_account_ends_its_sessions(console: Console, change: str) -> None:
    ann, olga = console.signed_in(ANN), console.signed_in(OLGA)
    assert is_signed_in(ann)
    console.query(change)
    assert not is_signed_in(ann)
    assert is_signed_in(olga) == ("TRUNCATE" not in change)


@pytest.mark.parametrize("command", [("set-password", "--console"), ("disable",)])
def test_an_operators_command_ends_the_sessions(console: Console, command: tuple[str, ...]) -> None:
    ann, olga = console.signed_in(ANN), console.signed_in(OLGA)
    done = run(
        "partman",
        "admin",
        *command,
        ANN.address,
        environment=console.database.environment,
        stdin=NEW_PASSWORD,
    )
    assert done.code == 0, done.output
    assert [is_signed_in(each) for each in (ann, olga)] == [False, True]
    status = console.visitor().sign_in(ANN.address, NEW_PASSWORD).status_code
    assert status == (303 if "--console" in command else 401)


def test_a_disabled_account_is_signed_out_despite_its_session(console: Console) -> None:
    ann = console.signed_in(ANN)
    console.query("ALTER TABLE console_accounts DISABLE TRIGGER end_sessions")
    for column in ("active", "admin"):
        console.query(f"UPDATE console_accounts SET {column} = false WHERE id = $1", ANN.id)
        assert not is_signed_in(ann)
        console.query(f"UPDATE console_accounts SET {column} = true WHERE id = $1", ANN.id)
        assert is_signed_in(ann)


def test_signing_out_ends_this_session(console: Console) -> None:
    here, elsewhere = console.signed_in(ANN), console.signed_in(ANN)
    copied = here.cookies[COOKIE]
    assert here.post("/sign-out").status_code == 303
    here.cookies[COOKIE] = copied
    assert not is_signed_in(here)
    assert is_signed_in(elsewhere)


def change_password(visitor: Visitor, current: str, new: str) -> int:
    fields = {"current_password": current, "new_password": new, "confirm_new_password": new}
    return visitor.form("/password", format="html", **fields).status_code


def test_a_new_password_ends_all_sessions_of_the_account(console: Console) -> None:
    ann, elsewhere, olga = (console.signed_in(each) for each in (ANN, ANN, OLGA))
    refused = [
        (PASSWORD, "too short"),
        (PASSWORD, "long" * 50),
        (PASSWORD, "pbkdf2_sha256$1$salt$hash"),
        (PASSWORD, ANN.address.title()),
        ("not mine at all", NEW_PASSWORD),
    ]
    for current, new in refused:
        assert change_password(ann, current, new) == 422
    assert is_signed_in(ann)

    assert change_password(ann, PASSWORD, NEW_PASSWORD) == 303

    assert [is_signed_in(each) for each in (ann, elsewhere, olga)] == [False, False, True]
    assert console.visitor().sign_in(ANN.address).status_code == 401
    assert console.visitor().sign_in(ANN.address, NEW_PASSWORD).status_code == 303


def test_a_sign_in_during_a_password_change_is_ended_by_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change ends all sessions that there are; so one must not begin unseen by it."""
    note_login = ConsoleAccount.note_login
    change = "UPDATE console_accounts SET password = 'pbkdf2_sha256$1$a$b' WHERE id = $1"

    async def noted_just_before(proven: Proven) -> bool:
        noted = await note_login(proven)
        changes.append(somebody.submit(query, console.database.url, change, ANN.id))
        await asyncio.to_thread(wait_until, console.somebody_waits, "the change waits")
        return noted

    changes: list[Future[object]] = []
    monkeypatch.setattr(ConsoleAccount, "note_login", noted_just_before)
    with ThreadPoolExecutor() as somebody:
        ann = console.visitor()
        assert ann.sign_in(ANN.address).status_code == 303
        changes[0].result()
    assert not is_signed_in(ann)


@pytest.mark.parametrize("change", ["password = 'pbkdf2_sha256$1$a$b'", "active = false"])
def test_a_sign_in_while_the_account_is_disabled_fails(console: Console, change: str) -> None:
    forbidden = f"UPDATE console_accounts SET {change} WHERE id = {ANN.id}"
    with ThreadPoolExecutor() as browser:
        with held(console.database.url, forbidden):
            attempt = browser.submit(console.visitor().sign_in, ANN.address)
            wait_until(console.waits_for_a_lock, "the service waits for the change")
        assert attempt.result().status_code == 401
    assert console.query("SELECT FROM console_sessions") == []


@pytest.mark.parametrize(
    "odd",
    ["", " ", "\x00", "a\x00b", "\xe9\xff", "é" * 9, "x" * 10_000, '"', "=;", "%00", "null", "1"],
    ids=repr,
)
def test_an_invalid_cookie_is_rejected(shared_console: Console, odd: str) -> None:
    visitor = shared_console.visitor()
    visitor.cookies[COOKIE] = odd
    assert not is_signed_in(visitor)
    assert visitor.get("/").headers["location"] == "/sign-in"
    assert visitor.post("/sign-out").status_code in {303, 401}
