"""docker/roles.sql makes the logins, and each of them can do its work and no more."""

import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from partman.database import embedded
from tests import shared
from tests.database.embedded_helpers import create_database, superuser
from tests.docs.markdown import Document
from tests.faults.processes import Zygote, forked_scripts
from tests.psql import client_program
from tests.servers import copied
from tests.support import (
    ROOT,
    SIX_TABLES,
    Completed,
    Database,
    as_role,
    clean_environment,
    execute,
    query,
    with_database,
)

NAME = "ours"
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


@pytest.fixture(scope="session")
def deployed(stopped: Path, zygote: Zygote) -> Path:
    """A folder with a stopped server, its database made as the compose file makes it."""

    def make() -> str:
        folder = copied(stopped, Path(tempfile.mkdtemp(dir=shared.folder())))
        database = create_database(embedded.start(folder), NAME, owner="postgres")
        for _ in range(2):  # it runs at each start
            made = make_roles(database, **PASSWORDS)
            assert made.code == 0, made.output
        for role, command in (
            ("partman_owner", ("piccolo", "migrations", "forwards", "all")),
            ("partman_seed", ("partman", "seed", "dev", "--opportunities", "40")),
        ):
            done = zygote.run(*command, environment=logged_in(database, role).environment)
            assert done.code == 0, done.output
        embedded.stop(folder)
        return str(folder)

    return Path(shared.once("deployed", make))


@pytest.fixture
def database(deployed: Path, fresh: Path) -> Database:
    """A copy, with its server: down to the development data, a deployment."""
    url = embedded.start(copied(deployed, fresh))
    return Database(with_database(as_role(url, "postgres"), NAME))


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
    names = "SELECT name FROM active_organizations('', 1, 0)"
    assert may(database, "partman_console", names)
    for role in ("partman_api", "partman_seed"):
        assert not may(database, role, names)
    assert not may(database, "partman_console", f"SET ROLE partman_app; {names}")
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


def documented_steps(url: str) -> str:
    """The steps of docs/tenancy.md, with another database's address."""
    document = Document(ROOT / "docs" / "tenancy.md")
    [block] = [each.text for each in document.blocks if "psql --file" in each.text]
    parts = urlsplit(url)
    assert block.count("@localhost/partman") == 3
    return block.replace("@localhost/partman", f"@{parts.path}?{parts.query}")


def follow(steps: str, data: Path) -> Completed:
    """Run steps in a shell that stops at the first one that fails."""
    scripts = forked_scripts("commands")
    scripts["PATH"] = f"{client_program('psql').parent}{os.pathsep}{scripts['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", steps],
        cwd=ROOT,
        env=clean_environment() | PASSWORDS | scripts | {"PARTMAN_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Completed(done.returncode, done.stdout, done.stderr)


CLEAN = ("no difference  ", "no gaps  ", "all as migrated.")


def test_the_documents_steps_end_without_a_finding(server: str, installed: Path) -> None:
    """What is taken away then, is missed, and given back by another superuser."""
    database = create_database(server, "ours", owner="postgres")
    # The embedded server of --scratch is the same one here, and its role may use the others.
    execute(superuser(server), "CREATE ROLE admin SUPERUSER LOGIN", "ALTER ROLE partman SUPERUSER")
    steps = documented_steps(database.url)
    done = follow(steps, installed)
    assert done.code == 0, done.output
    assert all(each in done.stdout for each in CLEAN), done.output

    drop = "REVOKE CONNECT ON DATABASE ours FROM partman_api; ALTER ROLE partman_api RESET work_mem"
    execute(superuser(database.url), *drop.split("; "))
    checks = "\n".join(each for each in steps.splitlines() if "psql" not in each)
    drifted = follow(checks, installed)
    assert drifted.code == 1
    assert "missing   grant partman_api on database\n" in drifted.stdout
    checked = follow(checks.replace("partman drift", "true"), installed)
    assert checked.code == 1
    assert "GRANT CONNECT ON DATABASE ours TO partman_api;" in checked.stdout
    assert "ALTER ROLE partman_api SET work_mem = '16MB';" in checked.stdout
    done = follow(steps.replace("//postgres@", "//admin@"), installed)
    assert done.code == 0, done.output
    assert all(each in done.stdout for each in CLEAN), done.output


def test_another_owner_of_the_tables_stays_the_owner(
    server: str, installed: Path, zygote: Zygote
) -> None:
    database = create_database(server, "ours")
    migrated = zygote.run(
        "piccolo", "migrations", "forwards", "all", environment=database.environment
    )
    assert migrated.code == 0, migrated.output
    steps = documented_steps(database.url).replace("//partman_owner@", "//partman@")
    done = follow(steps, installed)
    assert done.code == 0, done.output
    assert all(each in done.stdout for each in CLEAN), done.output
    rows = query(
        superuser(server),
        "SELECT rolname FROM pg_roles r JOIN pg_database ON datdba = r.oid WHERE datname = 'ours'"
        " UNION ALL SELECT rolname FROM pg_roles WHERE rolname = 'partman_owner'",
    )
    assert [row[0] for row in rows] == ["partman"]
    assert may(database, "partman_api", "SET ROLE partman_app")
    assert not may(database, "partman_api", "SELECT FROM partners")


def test_who_may_not_own_the_tables_or_make_roles_is_refused(server: str) -> None:
    database = create_database(server, "ours")
    refused = make_roles(database, **PASSWORDS, PGUSER="partman")
    assert refused.code != 0
    assert "partman is no superuser, and may not do all of this. Nothing was changed." in (
        refused.stderr
    )
    assert 'psql --file docker/roles.sql "postgresql://postgres@host/ours"' in refused.stderr
    execute(superuser(server), "CREATE ROLE partman_api")
    execute(superuser(database.url), "CREATE TABLE migration (id int)")
    execute(superuser(database.url), "ALTER TABLE migration OWNER TO partman_api")
    refused = make_roles(database, **PASSWORDS)
    assert refused.code != 0
    assert "The tables belong to partman_api, whose rights are to be limited. Nothing was" in (
        refused.stderr
    )
    assert query(superuser(server), "SELECT FROM pg_roles WHERE rolname = 'partman_app'") == []
    [hint] = [each for each in refused.stderr.splitlines() if each.startswith("HINT:")]
    execute(superuser(database.url), *hint.removeprefix("HINT:").split(". ")[0].split(";"))
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


def test_without_a_password_nothing_is_changed(server: str) -> None:
    database = create_database(server, "ours", owner="postgres")
    for missing in PASSWORDS:
        given = {name: password for name, password in PASSWORDS.items() if name != missing}

        refused = make_roles(database, **given)

        assert refused.code != 0, missing
        assert "A password is missing in the environment. Nothing was changed." in refused.stderr
        made = query(superuser(database.url), "SELECT FROM pg_roles WHERE rolname = 'partman_api'")
        assert made == []
