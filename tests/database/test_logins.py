"""docker/roles.sql makes the logins, and each of them can do its work and no more."""

import subprocess
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.database.embedded_helpers import create_database, superuser
from tests.faults.processes import Zygote
from tests.psql import client_program
from tests.support import (
    ROOT,
    SIX_TABLES,
    Completed,
    Database,
    as_role,
    clean_environment,
    execute,
    query,
)

PASSWORDS = {
    f"PARTMAN_{login}_PASSWORD": f"it's the {login}'s"
    for login in ("OWNER", "API", "SEED", "CONSOLE")
}


def make_roles(database: Database, **passwords: str) -> Completed:
    parts = urlsplit(superuser(database.url))
    address = {
        "PGHOST": parse_qs(parts.query)["host"][0],
        "PGUSER": "postgres",
        "PGDATABASE": database.name,
    }
    done = subprocess.run(
        [client_program("psql"), "--no-psqlrc", f"--file={ROOT / 'docker' / 'roles.sql'}"],
        env=clean_environment() | address | passwords,
        capture_output=True,
        text=True,
        check=False,
    )
    return Completed(done.returncode, done.stdout, done.stderr)


def logged_in(database: Database, role: str) -> Database:
    return Database(as_role(database.url, role))


def may(database: Database, role: str, statement: str) -> bool:
    try:
        execute(logged_in(database, role).url, statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


@pytest.fixture
def database(server: str, zygote: Zygote) -> Database:
    """Made as the compose file makes it, down to the development data."""
    database = create_database(server, "ours", owner="postgres")
    for _ in range(2):  # it runs at each start
        made = make_roles(database, **PASSWORDS)
        assert made.code == 0, made.output
    for role, command in (
        ("partman_owner", ("piccolo", "migrations", "forwards", "all")),
        ("partman_seed", ("partman", "seed", "dev", "--opportunities", "40")),
    ):
        done = zygote.run(*command, environment=logged_in(database, role).environment)
        assert done.code == 0, done.output
    return database


def test_each_login_can_do_its_work_and_no_more(database: Database, zygote: Zygote) -> None:
    for table in sorted(SIX_TABLES):
        select = f"SELECT FROM {table} LIMIT 1"
        assert may(database, "partman_owner", select)
        assert may(database, "partman_seed", select)
        assert not may(database, "partman_api", select), "a forgotten tenant()"
        assert not may(database, "partman_console", select), "a forgotten tenant()"
        assert not may(database, "partman_seed", f"ALTER TABLE {table} ADD COLUMN extra int")
        assert not may(database, "partman_seed", f"TRUNCATE {table}")
    for table in ("console_accounts", "console_sessions"):
        select = f"SELECT FROM {table} LIMIT 1"
        assert may(database, "partman_console", select)
        assert not may(database, "partman_api", select)
        assert not may(database, "partman_seed", select)
    for role in ("partman_api", "partman_seed", "partman_console"):
        assert not may(database, role, "CREATE TABLE new (n int)")
        assert not may(database, role, "CREATE TEMPORARY TABLE new (n int)")
        assert not may(database, role, "SET ROLE partman_owner")
    assert not may(database, "partman_seed", "SET ROLE partman_app")
    for role in ("partman_api", "partman_seed"):
        assert not may(database, role, "SET ROLE partman_console")
    assert may(database, "partman_owner", "SET ROLE partman_console")

    # Of an account that it may not see; the account goes with its organization.
    execute(
        logged_in(database, "partman_owner").url,
        "INSERT INTO console_accounts (username, email, password, superuser, organization_id)"
        " SELECT 'a@x', 'a@x', 'pbkdf2_sha256$1$0$0', false, id FROM organizations"
        " WHERE subdomain <> 'default' LIMIT 1",
    )
    cleared = zygote.run(
        "partman", "seed", "clear", "--yes",
        environment=logged_in(database, "partman_seed").environment,
    )  # fmt: skip
    assert cleared.code == 0, cleared.output
    assert query(logged_in(database, "partman_owner").url, "SELECT FROM console_accounts") == []


def test_the_deployment_is_clean_before_and_after_it_is_run_again(
    database: Database, zygote: Zygote
) -> None:
    execute(superuser(database.url), "ALTER ROLE partman_owner CREATEDB")
    as_owner = logged_in(database, "partman_owner").environment
    for _ in range(2):
        for command in ("drift", "check"):
            clean = zygote.run("partman", command, environment=as_owner)
            assert clean.code == 0, clean.output
        assert make_roles(database, **PASSWORDS).code == 0
    execute(superuser(database.url), f"REVOKE CONNECT ON DATABASE {database.name} FROM partman_api")
    drifted = zygote.run("partman", "drift", environment=as_owner)
    assert drifted.code == 1
    assert "missing   grant partman_api on database\n" in drifted.stdout


def test_another_owner_of_the_tables_is_not_locked_out(server: str) -> None:
    database = create_database(server, "ours")
    execute(database.url, "CREATE TABLE migration (id int)")
    refused = make_roles(database, **PASSWORDS)
    assert refused.code != 0
    assert "The tables belong to partman, not to partman_owner. Nothing was changed." in (
        refused.stderr
    )
    assert query(superuser(server), "SELECT FROM pg_roles WHERE rolname = 'partman_owner'") == []
    execute(superuser(server), "CREATE ROLE partman_owner")
    execute(superuser(database.url), "REASSIGN OWNED BY partman TO partman_owner")
    assert make_roles(database, **PASSWORDS).code == 0


@pytest.mark.parametrize("role", ["partman_api", "partman_console"])
def test_a_login_sees_one_organization_as_partman_app(database: Database, role: str) -> None:
    login = logged_in(database, role).url
    found = query(superuser(database.url), "SELECT id, subdomain FROM organizations")
    assert len(found) == 3
    for organization in found:
        looked_up = query(login, "SELECT organization_for_subdomain($1)", organization["subdomain"])
        assert looked_up[0][0] == organization["id"]
        execute(
            login,
            "BEGIN; SET LOCAL ROLE partman_app;"
            f"SET LOCAL partman.organization_id = '{organization['id']}';"
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM organizations) = 1; END $$; COMMIT",
        )


def test_passwords_are_set_and_changed(database: Database) -> None:
    def secrets() -> dict[str, str]:
        rows = query(
            superuser(database.url),
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'partman%'",
        )
        return {row["rolname"]: row["rolpassword"] for row in rows if row["rolpassword"]}

    before = secrets()
    assert before.keys() == {"partman_owner", "partman_api", "partman_seed", "partman_console"}
    assert make_roles(database, **PASSWORDS | {"PARTMAN_API_PASSWORD": "another"}).code == 0
    assert secrets()["partman_api"] != before["partman_api"]


@pytest.mark.parametrize("missing", PASSWORDS)
def test_without_a_password_nothing_is_changed(server: str, missing: str) -> None:
    database = create_database(server, "ours", owner="postgres")
    given = {name: password for name, password in PASSWORDS.items() if name != missing}

    refused = make_roles(database, **given)

    assert refused.code != 0
    assert "A password is missing in the environment. Nothing was changed." in refused.stderr
    made = query(superuser(database.url), "SELECT FROM pg_roles WHERE rolname = 'partman_api'")
    assert made == []
