"""``partman admin``, for the console's accounts: what it says, and what it refuses."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from partman.errors import ExitCode
from tests.support import (
    Completed,
    Database,
    clean_environment,
    execute,
    query,
    run,
    script,
    shared_database,
)

pytestmark = pytest.mark.same_on_every_version

PASSWORD = "correct horse battery staple"
ANN = "ann@acme.example"
_OF_AN_ACCOUNT = [("set-password", "--console"), ("disable",), ("enable",), ("delete", "--yes")]


def admin(database: Database, *arguments: str, stdin: str = f"{PASSWORD}\n") -> Completed:
    return run("partman", "admin", *arguments, environment=database.environment, stdin=stdin)


@pytest.fixture
def with_ann(template: Database) -> Iterator[Database]:
    """A database in which the console has an account, the admin of an organization."""

    def create(database: Database) -> None:
        done = admin(database, "create", ANN, "--organization", "default")
        assert done.code == 0, done.output

    with shared_database("with_ann", create, template.name) as database:
        yield database


def accounts(database: Database) -> list[dict[str, object]]:
    listed = admin(database, "list", "--json")
    assert listed.code == 0, listed.output
    found: list[dict[str, object]] = json.loads(listed.stdout)["accounts"]
    return found


class TestCreate:
    def test_without_an_organization_makes_an_operator(self, database: Database) -> None:
        done = admin(database, "create", "Ops@Partman.example")
        assert done.code == 0, done.output
        assert done.stdout == (
            "ops@partman.example may sign in to the console: a platform operator, who may choose "
            "any organization.\n"
        )
        [account] = accounts(database)
        assert (account["email"], account["operator"]) == ("ops@partman.example", True)
        assert (account["organization"], account["active"]) == (None, True)

    def test_with_an_organization_makes_its_admin_and_stores_a_hash(
        self, database: Database
    ) -> None:
        done = admin(database, "create", ANN, "--organization", "default")
        assert done.code == 0, done.output
        assert "the admin of default, and of no other organization" in done.stdout
        [account] = accounts(database)
        assert (account["organization"], account["operator"]) == ("default", False)
        # And the password is not told.
        assert PASSWORD not in done.output
        [row] = query(database.url, "SELECT password FROM console_accounts")
        assert row["password"].startswith("pbkdf2_sha256$600000$")

    def test_refuses_a_weak_password(self, database: Database) -> None:
        for password in ("", "too short", "x" * 129, "a\0" * 10, ANN, ANN.upper()):
            refused = admin(database, "create", ANN, stdin=f"{password}\n")
            assert refused.code == ExitCode.NO, password
            assert "nothing was changed" in refused.stderr
        assert accounts(database) == []

    def test_refuses_a_password_that_is_no_text(self, database: Database) -> None:
        for locale in ("C.UTF-8", "C"):
            environment = {**database.environment, "LC_ALL": locale}
            latin_1 = "ein g\udcfcltiges Passwort\n"
            refused = run("partman", "admin", "create", ANN, environment=environment, stdin=latin_1)
            assert refused.code == ExitCode.NO
            assert refused.stderr == (
                "partman: The password is not valid UTF-8; nothing was changed.\n"
            )

    def test_refuses_to_make_one_without_a_password(self, database: Database) -> None:
        closed = ["sh", "-c", 'exec "$0" admin create ann@acme.example <&-', script("partman")]
        environment = clean_environment(**database.environment)
        refused = subprocess.run(closed, env=environment, capture_output=True, check=False)
        assert refused.returncode == ExitCode.NO
        assert refused.stderr.startswith(b"partman: No password on standard input")
        assert accounts(database) == []

    def test_refuses_an_invalid_address(self, database: Database) -> None:
        for address in ("ann", "@acme.example", "ann@", "a b@c", f"{'x' * 99}@x"):
            refused = admin(database, "create", address)
            assert refused.code == ExitCode.NO, address
            assert "Nothing was changed" in refused.stderr
        assert accounts(database) == []

    def test_refuses_an_address_that_is_taken(self, with_ann: Database) -> None:
        refused = admin(with_ann, "create", ANN.upper())
        assert refused.code == ExitCode.NO
        assert f"partman admin set-password --console {ANN}" in refused.stderr
        [account] = accounts(with_ann)
        assert account["organization"] == "default"

    def test_refuses_an_organization_that_is_not_there(self, database: Database) -> None:
        refused = admin(database, "create", ANN, "--organization", "nowhere")
        assert refused.code == ExitCode.NO
        assert "No organization has the subdomain nowhere. Nothing was changed" in refused.stderr
        assert accounts(database) == []

    def test_is_the_owners_alone(self, database: Database) -> None:
        for role in ("partman_console", "partman_app"):
            url = f"{database.url}&options=-c%20role%3D{role}"
            refused = run(
                "partman", "admin", "create", ANN,
                environment={"DATABASE_URL": url}, stdin=f"{PASSWORD}\n",
            )  # fmt: skip
            assert refused.code == ExitCode.PERMISSION, refused.output
            assert "Connect as the owner" in refused.stderr


class TestSetPassword:
    def test_of_the_console_or_the_product_leaves_the_other_alone(self, database: Database) -> None:
        assert admin(database, "create", "admin@partman.com").code == 0
        before = query(database.url, "SELECT password FROM console_accounts")
        done = admin(database, "set-password", "--console", "admin@partman.com")
        assert done.code == 0
        assert "(console) is set. It was signed in nowhere." in done.stdout
        changed = query(database.url, "SELECT password FROM console_accounts")
        assert changed != before
        assert query(database.url, "SELECT password_hash FROM users")[0][0] == "!"

        assert admin(database, "set-password", "admin@partman.com").code == 0
        assert query(database.url, "SELECT password_hash FROM users")[0][0] != "!"
        assert query(database.url, "SELECT password FROM console_accounts") == changed

    def test_says_that_the_account_is_disabled(self, with_ann: Database) -> None:
        assert admin(with_ann, "disable", ANN).code == 0
        done = admin(with_ann, "set-password", "--console", ANN)
        assert done.code == 0
        assert f"It is disabled. Enable it with: partman admin enable {ANN}" in done.stdout
        assert accounts(with_ann)[0]["active"] is False

    def test_takes_no_organization_for_the_console(self, database: Database) -> None:
        refused = admin(database, "set-password", "--console", "--organization", "default", ANN)
        assert refused.code == ExitCode.USAGE

    def test_an_unknown_address_is_one_clear_line(self, database: Database) -> None:
        for command in _OF_AN_ACCOUNT:
            refused = admin(database, *command, ANN)
            assert refused.code == ExitCode.NO
            assert refused.stderr == (
                f"partman: The console has no account {ANN}. Nothing was changed. "
                "List all accounts with: partman admin list\n"
            )


def test_disable_signs_out_everywhere_and_enable_lets_in_again(with_ann: Database) -> None:
    two = "INSERT INTO console_sessions (token, user_id) SELECT t, id FROM console_accounts, "
    execute(with_ann.url, two + "unnest('{a,b}'::text[]) AS t")
    assert accounts(with_ann)[0]["sessions"] == 2

    done = admin(with_ann, "disable", ANN)

    assert done.stdout == (
        f"{ANN} can no longer sign in to the console. It was signed out everywhere: 2 sessions.\n"
    )
    [account] = accounts(with_ann)
    assert (account["active"], account["sessions"]) == (False, 0)
    assert admin(with_ann, "enable", ANN).code == 0
    assert accounts(with_ann)[0]["active"] is True


def test_list_shows_each_account_on_a_line_and_delete_takes_it_with_its_sessions(
    with_ann: Database,
) -> None:
    assert admin(with_ann, "create", "zoe@partman.example").code == 0
    execute(
        with_ann.url,
        f"UPDATE console_accounts SET last_login = '2026-01-02 03:04' WHERE username = '{ANN}'",
    )
    listed = admin(with_ann, "list").stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["zoe@partman.example", "(operator)", "active", "never", "0"],
        [ANN, "default", "active", "2026-01-02", "03:04", "0"],
    ]
    assert [account["last_login"] for account in accounts(with_ann)] == [
        None,
        "2026-01-02 03:04:00+00:00",
    ]

    session = "INSERT INTO console_sessions (token, user_id) SELECT username, id FROM "
    execute(with_ann.url, session + "console_accounts")
    assert admin(with_ann, "delete", ANN, stdin="n\n").code == ExitCode.NO
    nobody = admin(with_ann, "delete", ANN, stdin="")
    assert nobody.code == ExitCode.USAGE
    assert f"partman admin delete {ANN} --yes" in nobody.stderr
    assert len(accounts(with_ann)) == 2

    done = admin(with_ann, "delete", ANN.upper(), stdin="y\n")

    assert f"{ANN} is deleted. It was signed out everywhere: 1 session.\n" in done.stdout
    [left] = accounts(with_ann)
    assert (left["email"], left["sessions"]) == ("zoe@partman.example", 1)
    assert admin(with_ann, "create", ANN).code == 0, "the address is free again"


def test_list_says_that_there_are_none(database: Database) -> None:
    assert "The console has no accounts" in admin(database, "list").stdout
