"""The migrations that isolate the tenants, on a database with rows and on a cluster with others."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from partman.database import embedded
from partman.errors import ExitCode
from partman.plan.trial import make_plan
from partman.settings import Settings
from tests.catalog import catalog
from tests.database.embedded_helpers import create_database, superuser
from tests.faults.processes import Process, Zygote
from tests.faults.sessions import session, wait_for_a_waiting_run
from tests.servers import copied, temporary_directory
from tests.support import (
    MIGRATIONS,
    SIX_TABLES,
    Completed,
    Database,
    execute,
    query,
    shared_database,
)

BEFORE, KEYS, ISOLATION, INTEGRITY = MIGRATIONS[2:6]
SUBDOMAINS = "2026-11-28T01:10:00:000000"
LATEST = {"partman_operator", "partman_reports"}
EARLIER = {"partman_app", "partman_api", "partman_auth", "partman_seed", "partman_console"}
ROLES = EARLIER | LATEST
ROWS = """
INSERT INTO organizations (id, name, subdomain) VALUES
    ('a0000000-0000-4000-8000-000000000000', 'A', 'a'),
    ('b0000000-0000-4000-8000-000000000000', 'B', 'b');
INSERT INTO users (id, organization_id, email, password_hash, first_name, last_name, role)
    SELECT id, id, 'x@example.com', '!', 'X', 'Y', 'viewer' FROM organizations;
INSERT INTO partners (id, organization_id, name, domain, commission_structure)
    SELECT id, id, 'P', 'd', '{}' FROM organizations;
INSERT INTO opportunities
        (organization_id, partner_id, assigned_user_id, customer_name, deal_value, stage,
         expected_close_date)
    SELECT id, id, id, 'C', 1, 's', '2026-01-01' FROM organizations;
INSERT INTO quarterly_goals (organization_id, user_id, quarter, year, goal_type, target_value)
    SELECT id, id, 1, 2026, 'revenue', 1 FROM organizations;
INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)
    SELECT id, id, 'x', 'partner', 't', 'm' FROM organizations;
"""
A = "organization_id = 'a0000000-0000-4000-8000-000000000000'"
OF_B = "'b0000000-0000-4000-8000-000000000000'"
A_GOAL_OF_NOBODY = (
    "INSERT INTO quarterly_goals (organization_id, quarter, year, goal_type, target_value)"
    " SELECT id, 1, 2026, 'revenue', 1 FROM organizations WHERE subdomain = 'a'"
)
KEY_VIOLATIONS = {
    "opportunities.partner_id names a row of the same organization": (
        f"UPDATE opportunities SET partner_id = {OF_B} WHERE {A}", 1,
    ),
    "opportunities.assigned_user_id names a row of the same organization": (
        f"UPDATE opportunities SET assigned_user_id = {OF_B} WHERE {A}", 1,
    ),
    "quarterly_goals.user_id names a row of the same organization": (
        f"UPDATE quarterly_goals SET user_id = {OF_B} WHERE {A}", 1,
    ),
    "alerts.user_id names a row of the same organization": (
        f"UPDATE alerts SET user_id = {OF_B} WHERE {A}", 1,
    ),
    "there is one goal of a kind for a quarter and a user, or for a quarter and nobody": (
        f"{A_GOAL_OF_NOBODY}; {A_GOAL_OF_NOBODY}", 2,
    ),
}  # fmt: skip
VALUE_VIOLATIONS = {
    "partners.relationship_health is from 0 to 100": -1,
    "opportunities.deal_value is not negative": -0.01,
    "opportunities.currency is three capital letters": "'usd'",
    "opportunities.probability is from 0 to 100": 101,
    "quarterly_goals.quarter is from 1 to 4": 5,
    "quarterly_goals.target_value is not negative": -1,
    "quarterly_goals.current_value is not negative": -1,
    "quarterly_goals.currency is three capital letters": "'EU'",
}


def piccolo(zygote: Zygote, database: Database, *arguments: str, **more: str) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"} | more
    return zygote.run("piccolo", "migrations", *arguments, environment=environment)


@pytest.fixture
def with_rows(zygote: Zygote) -> Iterator[Database]:
    """A database as it was before, with rows of two organizations."""

    def fill(database: Database) -> None:
        migrated = piccolo(zygote, database, "forwards", "partman", BEFORE)
        assert migrated.code == 0, migrated.output
        execute(database.url, ROWS)

    with shared_database("before_isolation", fill) as database:
        yield database


@pytest.fixture
def isolated(zygote: Zygote, with_rows: Database) -> Iterator[Database]:
    """The same, one migration before the rules about values."""

    def isolate(database: Database) -> None:
        assert piccolo(zygote, database, "forwards", "partman", ISOLATION).code == 0

    with shared_database("isolated", isolate, with_rows.name) as database:
        yield database


def contents(url: str) -> list[tuple[str, str]]:
    """The rows of each table."""
    rows = " UNION ALL ".join(f"SELECT '{name}', t::text FROM {name} t" for name in SIX_TABLES)
    return [tuple(row) for row in query(url, f"{rows} ORDER BY 1, 2")]


def files(url: str) -> list[tuple[str, int]]:
    """Where each table is stored: another file means that it was rewritten."""
    rows = query(
        url,
        "SELECT relname, relfilenode::bigint FROM pg_class WHERE relname = ANY ($1) ORDER BY 1",
        sorted(SIX_TABLES),
    )
    return [tuple(row) for row in rows]


def test_rows_are_kept_and_no_table_is_rewritten(zygote: Zygote, with_rows: Database) -> None:
    url = with_rows.url
    before = contents(url), files(url), catalog(url)

    forwards = piccolo(zygote, with_rows, "forwards", "all")
    assert forwards.code == 0, forwards.output
    assert (contents(url), files(url)) == before[:2]

    backwards = piccolo(zygote, with_rows, "backwards", "partman", KEYS, "--auto_agree")
    assert backwards.code == 0, backwards.output
    assert (contents(url), files(url), catalog(url)) == before


async def test_locks_do_not_last_longer_with_more_rows(zygote: Zygote, with_rows: Database) -> None:
    settings = Settings.load(with_rows.environment)
    plan = await make_plan(settings, settings, lambda _: None)
    verdicts = {migration.id: migration.level.name for migration in plan.migrations}
    assert tuple(verdicts) == MIGRATIONS[3:]
    assert set(verdicts.values()) == {"BRIEF_LOCK", "SAFE_LIVE"}


@pytest.mark.same_on_every_version
def test_rows_that_violate_keys_are_counted_and_listed_and_nothing_is_changed(
    zygote: Zygote, with_rows: Database
) -> None:
    execute(with_rows.url, *(violation for violation, _ in KEY_VIOLATIONS.values()))
    expected = {rule: rows for rule, (_, rows) in KEY_VIOLATIONS.items()}
    _is_refused(zygote, with_rows, expected)


@pytest.mark.same_on_every_version
def test_values_that_violate_rules_are_counted_and_listed_and_nothing_is_changed(
    zygote: Zygote, isolated: Database
) -> None:
    for rule, value in VALUE_VIOLATIONS.items():
        table, column = rule.split()[0].split(".")
        execute(isolated.url, f"UPDATE {table} SET {column} = {value}")
    _is_refused(zygote, isolated, dict.fromkeys(VALUE_VIOLATIONS, 3))


_VIOLATED = re.compile(
    r"^(.+): (\d+) rows? violates? this\. List them with: ([^;]+);$", re.MULTILINE
)


def _is_refused(zygote: Zygote, database: Database, expected: Mapping[str, int]) -> None:
    """Require that a run names each of these rules, with its number of rows, and no other one."""
    before = contents(database.url), catalog(database.url)
    refused = piccolo(zygote, database, "forwards", "all")
    assert refused.code == ExitCode.MIGRATION
    assert "Nothing was changed" in refused.stderr
    violated = _VIOLATED.findall(refused.stderr)
    assert {rule: int(count) for rule, count, _ in violated} == expected
    for rule, _, listing in violated:
        assert len(query(database.url, listing)) == expected[rule]
    assert (contents(database.url), catalog(database.url)) == before


HOST_LABELS = ("a", "acme", "x1-y2", "0", "xn--caf-dma", "a" * 63, "a-" * 31 + "a")
NO_HOST_LABELS = (
    "", "Acme", "-acme", "acme-", "-", "not a host name!", "acme.example", "a_b", "café", "a" * 64,
    " acme", "acme\n", "acme\nx",
)  # fmt: skip


@pytest.mark.same_on_every_version
def test_a_subdomain_is_a_host_label_in_lower_case(database: Database) -> None:
    insert = "INSERT INTO organizations (name, subdomain) SELECT 'n', unnest($1::text[])"
    query(database.url, insert, HOST_LABELS)
    for wrong in NO_HOST_LABELS:
        with pytest.raises(asyncpg.CheckViolationError, match="subdomain_is_host_label"):
            query(database.url, insert, [wrong])


@pytest.mark.same_on_every_version
def test_subdomains_that_are_no_host_labels_are_listed_and_nothing_is_changed(
    zygote: Zygote, empty_database: Database
) -> None:
    before = MIGRATIONS[MIGRATIONS.index(SUBDOMAINS) - 1]
    assert piccolo(zygote, empty_database, "forwards", "partman", before).code == 0
    insert = "INSERT INTO organizations (name, subdomain) SELECT 'n', unnest($1::text[])"
    query(empty_database.url, insert, [*HOST_LABELS, *NO_HOST_LABELS])
    rule = (
        "organizations.subdomain is a host label in lower case: letters, digits and inner hyphens,"
        " 63 at most"
    )
    _is_refused(zygote, empty_database, {rule: len(NO_HOST_LABELS)})


@pytest.mark.same_on_every_version
def test_every_update_is_dated_by_the_database(database: Database) -> None:
    execute(database.url, ROWS)
    for table in sorted(SIX_TABLES - {"alerts"}):
        execute(database.url, f"UPDATE {table} SET updated_at = '2001-01-01'")
        dates = query(database.url, f"SELECT updated_at > now() - interval '1 h' FROM {table}")
        assert [row[0] for row in dates] == [True] * len(dates)
        assert len(dates) >= 2


def roles(url: str) -> set[str]:
    rows = query(url, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'partman\\_%'")
    return {row["rolname"] for row in rows}


def test_two_databases_of_one_server_make_the_roles_at_once_and_the_last_one_drops_them(
    zygote: Zygote, server: str
) -> None:
    begun = _with_keys(zygote, server)
    databases = [create_database(server, f"database_{n}", template=begun) for n in range(4)]

    def run(database: Database, *arguments: str) -> Completed:
        return piccolo(zygote, database, *arguments, PARTMAN_ENV="development")

    with ThreadPoolExecutor(4) as pool:
        forwards = list(pool.map(lambda database: run(database, "forwards", "all"), databases))
    assert [ended.code for ended in forwards] == [0, 0, 0, 0], forwards
    assert roles(server) == ROLES

    back = ("backwards", "partman", ISOLATION, "--auto_agree")
    for database in databases[:-1]:
        assert run(database, *back).code == 0
        assert roles(server) == ROLES
    assert run(databases[-1], *back).code == 0
    assert roles(server) == set()


def _with_keys(zygote: Zygote, server: str) -> str:
    """Make a database on a server that is before the first migration with roles; name it."""
    database = create_database(server, "with_keys")
    assert piccolo(zygote, database, "forwards", "partman", KEYS).code == 0
    return database.name


@pytest.fixture(scope="module")
def one_server(stopped: Path) -> Iterator[str]:
    with temporary_directory() as folder:
        server = embedded.start(copied(stopped, folder))
        _with_keys(Zygote(), server)
        yield server


@pytest.fixture
def without_roles(one_server: str) -> Iterator[str]:
    """A server without roles of the migrations, which it loses again, with the database "ours"."""
    assert roles(one_server) == set()
    yield one_server
    execute(superuser(one_server), "DROP DATABASE ours")
    execute(superuser(one_server), *(f"DROP ROLE {role}" for role in roles(one_server)))


_OF_TENANTS = ("partman_app", "partman_api", "partman_auth", "partman_seed")
_MADE = "; ".join(f"CREATE ROLE {role} NOLOGIN NOINHERIT" for role in _OF_TENANTS)


def begun(zygote: Zygote, database: Database) -> Process:
    """A run that goes on by itself, and waits at a role."""
    environment = database.environment | {"PARTMAN_ENV": "production"}
    run = zygote.start("piccolo", "migrations", "forwards", "all", environment=environment)
    wait_for_a_waiting_run(database.url)
    return run


@pytest.mark.parametrize(
    ("last", "made", "dropped"),
    [
        (KEYS, _MADE, _OF_TENANTS),
        (
            KEYS,
            f"{_MADE}; GRANT partman_app TO partman, partman_api;"
            " GRANT partman_auth TO partman WITH INHERIT TRUE",
            _OF_TENANTS,
        ),
        (INTEGRITY, "CREATE ROLE partman_console NOLOGIN NOINHERIT", ("partman_console",)),
        (SUBDOMAINS, "CREATE ROLE partman_operator NOLOGIN NOINHERIT", ("partman_operator",)),
        (
            INTEGRITY,
            "CREATE ROLE partman_console NOLOGIN NOINHERIT; GRANT partman_console TO partman;"
            " GRANT partman_app TO partman_console",
            ("partman_console",),
        ),
    ],
)
def test_roles_that_go_with_another_database_just_now_are_made_again(
    zygote: Zygote, without_roles: str, last: str, made: str, dropped: tuple[str, ...]
) -> None:
    server = without_roles
    database = create_database(server, "ours", template="with_keys")
    if last != KEYS:
        assert piccolo(zygote, database, "forwards", "partman", last).code == 0
    execute(server, made)
    with session(server, "BEGIN", f"DROP ROLE {', '.join(dropped)}") as other:
        run = begun(zygote, database)
        other.execute("COMMIT")
        ended = run.wait()
    assert ended.code == 0, ended.output
    assert roles(server) == ROLES


def test_after_waiting_only_roles_still_missing_are_reported(zygote: Zygote, server: str) -> None:
    """Another owner's run makes them, and he may not use them."""
    execute(superuser(server), "CREATE ROLE owner LOGIN CREATEROLE BYPASSRLS")
    database = create_database(server, "ours", owner="owner")
    assert piccolo(zygote, database, "forwards", "partman", KEYS).code == 0
    with session(server, "BEGIN", _MADE) as other:
        run = begun(zygote, database)
        other.execute("COMMIT")
        refused = run.wait()
    assert refused.code == ExitCode.PERMISSION
    _, _, statements = refused.stderr.partition("An administrator runs, in this database: ")
    execute(superuser(database.url), statements.partition(". Then run again")[0])
    assert piccolo(zygote, database, "forwards", "partman", ISOLATION).code == 0


def test_a_role_that_the_deployment_lets_log_in_is_not_dropped(zygote: Zygote, server: str) -> None:
    database = create_database(server, "ours")
    assert piccolo(zygote, database, "forwards", "all").code == 0
    execute(superuser(server), "ALTER ROLE partman_api LOGIN PASSWORD 'secret'")

    assert piccolo(zygote, database, "backwards", "partman", ISOLATION, "--auto_agree").code == 0

    assert roles(server) == {"partman_api", "partman_app"}, "it may still act as partman_app"


def test_without_createrole_the_error_has_the_statements_for_an_admin(
    zygote: Zygote, server: str
) -> None:
    execute(superuser(server), "CREATE ROLE owner LOGIN BYPASSRLS")
    database = create_database(server, "ours", owner="owner")

    refused = piccolo(zygote, database, "forwards", "all")

    for what, there in (
        ("the tenant isolation", EARLIER - {"partman_console"}),
        ("the console", EARLIER),
        ("the operator", ROLES),
    ):
        assert refused.code == ExitCode.PERMISSION
        assert f"owner may not do what {what} needs" in refused.stderr
        assert "Step 1 was rolled back" in refused.stderr
        _, _, statements = refused.stderr.partition("An administrator runs, in this database: ")
        execute(superuser(database.url), statements.partition(". Then run again")[0])
        assert roles(server) == there
        refused = piccolo(zygote, database, "forwards", "all")
    assert refused.code == 0, refused.output
