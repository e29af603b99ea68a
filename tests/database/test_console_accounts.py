"""The console's accounts and sessions: what the database keeps true of them, whoever writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import pytest

from partman.accounts import console_accounts
from partman.accounts.common import MINIMUM_LENGTH
from partman.engine import PartmanEngine
from partman.errors import ExitCode
from partman.serve.people.account_base import SHORTEST_PASSWORD
from partman.settings import Settings
from partman.tables import CONSOLE_TABLES, TENANCY
from partman.tables.console_accounts import ConsoleAccount
from partman.tenant import tenant
from tests.catalog import catalog
from tests.faults.processes import Zygote
from tests.support import MIGRATIONS, SIX_TABLES, Database, query, run

pytestmark = pytest.mark.same_on_every_version

PASSWORD = "correct horse battery staple"
ANOTHER = "Tr0ub4dor & 3 and more"
ADDRESS = "ann@acme.example"
CONSOLE = "2026-11-24T13:00:00:000000"
BEFORE_THE_CONSOLE = MIGRATIONS[MIGRATIONS.index(CONSOLE) - 1]
AFTER_THE_CONSOLE = MIGRATIONS[MIGRATIONS.index(CONSOLE) + 1]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def hashed(password: str) -> str:
    """With a single iteration, as an account is verified with those that its hash names."""
    return ConsoleAccount.hash_password(password, iterations=1)


@dataclass(frozen=True)
class Console:
    """A migrated database with an operator and an admin, and a session of each."""

    database: Database
    owner: Connection
    engine: PartmanEngine
    """As the console's role, whatever the login is."""

    async def sessions(self) -> set[str]:
        """Whose there are."""
        rows = await self.owner.fetch(
            "SELECT username FROM console_sessions JOIN console_accounts a ON a.id = user_id"
        )
        return {row["username"] for row in rows}

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """Undo at the end of a block what the owner has done in it."""
        transaction = self.owner.transaction()
        await transaction.start()
        try:
            yield
        finally:
            await transaction.rollback()

    async def as_role(self, role: str, statement: str) -> None:
        """Run a statement, and undo it."""
        async with self.undone():
            await self.owner.execute(f"SET LOCAL ROLE {role}")
            await self.owner.execute(statement)


OPERATOR, ADMIN = "ops@partman.example", ADDRESS


@pytest.fixture
async def two(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    owner = await asyncpg.connect(database.url)
    for address, organization in ((OPERATOR, None), (ADMIN, "default")):
        await owner.execute(
            "INSERT INTO console_accounts (username, email, password, active, admin, superuser,"
            " organization_id) VALUES ($1, $1, $2, true, true, $3::text IS NULL,"
            " (SELECT id FROM organizations WHERE subdomain = $3))",
            address,
            hashed(PASSWORD),
            organization,
        )
    await owner.execute(
        "INSERT INTO console_sessions (token, user_id) SELECT username, id FROM console_accounts"
    )
    url = f"{database.url}&options=-c%20role%3Dpartman_console"
    engine = PartmanEngine(settings=Settings.load({"DATABASE_URL": url}), tenancy=TENANCY)
    for table in CONSOLE_TABLES:
        monkeypatch.setattr(table._meta, "_db", engine)
    try:
        yield Console(database, owner, engine)
    finally:
        await owner.close()


async def _by_the_command(two: Console) -> None:
    done = await asyncio.to_thread(
        run, "partman", "admin", "set-password", "--console", ADMIN,
        environment=two.database.environment, stdin=f"{ANOTHER}\n",
    )  # fmt: skip
    assert done.code == 0, done.output
    assert "signed out everywhere: 1 session." in done.stdout


async def _by_sql(two: Console) -> None:
    password = hashed(ANOTHER)
    await two.owner.execute(
        "UPDATE console_accounts SET password = $1 WHERE username = $2", password, ADMIN
    )


async def _by_piccolo(two: Console) -> None:
    await ConsoleAccount.update_password(ADMIN, ANOTHER)


async def _by_the_consoles_role(two: Console) -> None:
    password = hashed(ANOTHER)
    await two.owner.execute("SET ROLE partman_console")
    await two.owner.execute(
        f"UPDATE console_accounts SET password = '{password}' WHERE username = '{ADMIN}'"
    )
    await two.owner.execute("RESET ROLE")


WAYS: tuple[Callable[[Console], Awaitable[None]], ...] = (
    _by_the_command, _by_sql, _by_piccolo, _by_the_consoles_role,
)  # fmt: skip


@pytest.mark.parametrize("change", WAYS)
async def test_a_new_password_ends_the_accounts_sessions_and_no_others(
    two: Console, change: Callable[[Console], Awaitable[None]]
) -> None:
    await change(two)
    assert await two.sessions() == {OPERATOR}
    assert await ConsoleAccount.login(ADMIN, PASSWORD) is None
    assert await ConsoleAccount.login(ADMIN, ANOTHER) is not None


async def test_losing_a_right_ends_the_sessions(two: Console) -> None:
    await two.owner.execute("INSERT INTO organizations (name, subdomain) VALUES ('O', 'other')")
    for change in (
        "active = false",
        "admin = false",
        "organization_id = NULL, superuser = true",
        "organization_id = (SELECT id FROM organizations WHERE subdomain = 'other')",
    ):
        async with two.undone():
            set_ = f"UPDATE console_accounts SET {change} WHERE username = '{ADMIN}'"
            await two.owner.execute(set_)
            assert await two.sessions() == {OPERATOR}, change
        assert await two.sessions() == {OPERATOR, ADMIN}


async def test_signing_in_again_leaves_the_other_sessions(two: Console) -> None:
    assert await ConsoleAccount.login(ADMIN, PASSWORD) is not None
    assert await two.sessions() == {OPERATOR, ADMIN}


class TestLogin:
    async def test_gives_the_account_and_notes_the_time(self, two: Console) -> None:
        found = await ConsoleAccount.login(f" {ADMIN.upper()} ", PASSWORD)
        row = await two.owner.fetchrow(
            "SELECT id, last_login - now() AT TIME ZONE 'UTC' BETWEEN '-1 min' AND '1 min' AS now"
            " FROM console_accounts WHERE username = $1",
            ADMIN,
        )
        assert row is not None
        assert (found, True) == (row["id"], row["now"])

    async def test_is_none_for_what_is_wrong(self, two: Console) -> None:
        for address, password in (
            (ADMIN, ANOTHER),
            ("nobody@acme.example", PASSWORD),
            (ADMIN, ""),
            (ADMIN, "x" * 129),
            ("a\0", PASSWORD),
            ("\ud800", PASSWORD),
            (ADMIN, "\ud800" * 12),
        ):
            assert await ConsoleAccount.login(address, password) is None, (address, password)
            assert await two.owner.fetchval("SELECT count(last_login) FROM console_accounts") == 0

    async def test_is_none_for_an_account_that_is_disabled(self, two: Console) -> None:
        await console_accounts.set_active(two.owner, ADMIN, active=False)
        assert await ConsoleAccount.login(ADMIN, PASSWORD) is None
        await console_accounts.set_active(two.owner, ADMIN, active=True)
        assert await ConsoleAccount.login(ADMIN, PASSWORD) is not None

    async def test_does_the_same_work_for_every_address_and_beside_the_event_loop(
        self, two: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disabled = "disabled@acme.example"
        await console_accounts.create(two.owner, disabled, PASSWORD, None)
        await console_accounts.set_active(two.owner, disabled, active=False)
        await console_accounts.set_password(two.owner, ADMIN, PASSWORD)
        worked: list[int | None] = []
        original = ConsoleAccount.hash_password.__func__  # type: ignore[attr-defined]

        def counted(
            cls: type[ConsoleAccount], password: str, salt: str = "", iterations: int | None = None
        ) -> str:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            worked.append(iterations)
            return str(original(cls, password, salt, iterations))

        monkeypatch.setattr(ConsoleAccount, "hash_password", classmethod(counted))
        for address in (ADMIN, "nobody@acme.example", disabled):
            assert await ConsoleAccount.login(address, ANOTHER) is None
        assert worked == [600_000] * 3

    async def test_is_none_when_the_password_was_changed_meanwhile(
        self, two: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop = asyncio.get_running_loop()
        original = ConsoleAccount._is_password.__func__  # type: ignore[attr-defined]

        def slowly(cls: type[ConsoleAccount], password: str, stored: str) -> bool:
            asyncio.run_coroutine_threadsafe(_by_sql(two), loop).result()
            return bool(original(cls, password, stored))

        monkeypatch.setattr(ConsoleAccount, "_is_password", classmethod(slowly))
        assert await ConsoleAccount.login(ADMIN, PASSWORD) is None


class TestTheTable:
    async def test_deleting_an_organization_deletes_its_admins(self, two: Console) -> None:
        chosen = "UPDATE console_sessions SET organization_id = (SELECT id FROM organizations)"
        await two.owner.execute(chosen)
        await two.owner.execute("DELETE FROM organizations")
        [left] = await two.owner.fetch("SELECT username, superuser FROM console_accounts")
        assert tuple(left) == (OPERATOR, True)
        [session] = await two.owner.fetch("SELECT token, organization_id FROM console_sessions")
        assert tuple(session) == (OPERATOR, None), "an operator chooses again"

    async def test_refuses_an_invalid_account(self, two: Console) -> None:
        for change, constraint in (
            ("superuser = true", "console_accounts_operator_has_no_organization"),
            ("organization_id = NULL", "console_accounts_operator_has_no_organization"),
            ("email = 'b@acme.example'", "console_accounts_username_is_address"),
            ("email = 'A@X', username = 'A@X'", "console_accounts_username_is_address"),
            ("email = 'ann', username = 'ann'", "console_accounts_username_is_address"),
            (f"password = '{PASSWORD}'", "console_accounts_password_is_hashed"),
            ("password = ''", "console_accounts_password_is_hashed"),
        ):
            with pytest.raises(asyncpg.CheckViolationError, match=constraint):
                await two.owner.execute(f"UPDATE console_accounts SET {change} WHERE NOT superuser")

    async def test_has_one_account_for_an_address_and_one_session_for_a_token(
        self, two: Console
    ) -> None:
        for table, columns in (
            ("console_accounts", "username, email, password, superuser"),
            ("console_sessions", "token, user_id"),
        ):
            with pytest.raises(asyncpg.UniqueViolationError):
                await two.owner.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT 1"
                )

    def test_has_the_least_password_that_the_command_has(self) -> None:
        assert SHORTEST_PASSWORD == MINIMUM_LENGTH
        with pytest.raises(ValueError, match="too short"):
            ConsoleAccount._validate_password("x" * (MINIMUM_LENGTH - 1))

    def test_output_contains_no_password_or_token(self) -> None:
        secret = {
            column._meta.name for table in CONSOLE_TABLES for column in table._meta.secret_columns
        }
        assert secret == {"password", "token"}


ALLOWED = {
    ("console_accounts", "SELECT"),
    ("console_accounts.password", "UPDATE"),
    ("console_accounts.last_login", "UPDATE"),
    *(("console_sessions", right) for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    *((table, "SELECT") for table in ("migration", "migration_history", "migration_step")),
    ("console_sessions_id_seq", "USAGE"),
}


class TestTheRole:
    async def test_may_do_this_and_nothing_else(self, two: Console) -> None:
        rows = await two.owner.fetch(
            """
            SELECT relname, privilege FROM pg_class
            CROSS JOIN unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'
                ::text[]) AS privilege
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'm', 'f')
                AND has_table_privilege('partman_console', pg_class.oid, privilege)
            UNION
            SELECT relname, privilege FROM pg_class
            CROSS JOIN unnest('{SELECT, UPDATE, USAGE}'::text[]) AS privilege
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
                AND has_sequence_privilege('partman_console', pg_class.oid, privilege)
            UNION
            SELECT format('%s.%s', relname, attname), privilege FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
            CROSS JOIN unnest('{SELECT, INSERT, UPDATE, REFERENCES}'::text[]) AS privilege
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'm', 'f')
                AND has_column_privilege('partman_console', pg_class.oid, attname, privilege)
                AND NOT has_table_privilege('partman_console', pg_class.oid, privilege)
            """
        )
        assert {tuple(row) for row in rows} == ALLOWED

    async def test_reads_no_tenants_row_by_itself(self, two: Console) -> None:
        for table in SIX_TABLES:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match=table):
                await two.as_role("partman_console", f"SELECT FROM {table}")

    async def test_may_become_a_tenants_and_has_its_rights_only_then(self, two: Console) -> None:
        kinds = ["MEMBER", "USAGE"]
        held = [
            await two.owner.fetchval(
                "SELECT pg_has_role('partman_console', 'partman_app', $1)", kind
            )
            for kind in kinds
        ]
        assert held == [True, False]

    async def test_reads_an_organizations_rows_inside_of_tenant(self, two: Console) -> None:
        [[organization]] = await two.owner.fetch("SELECT id FROM organizations")
        await two.owner.execute("INSERT INTO organizations (name, subdomain) VALUES ('O', 'other')")
        async with tenant(organization, engine=two.engine) as transaction:
            rows = await transaction.connection.fetch("SELECT id FROM organizations")
        assert [row["id"] for row in rows] == [organization]

    async def test_is_the_only_one(self, two: Console) -> None:
        for role in ("partman_app", "partman_api", "partman_auth", "partman_seed"):
            if role != "partman_app":
                await two.owner.execute(f"GRANT {role} TO CURRENT_USER")
            for table in ("console_accounts", "console_sessions"):
                for statement in (
                    f"SELECT FROM {table}",
                    f"INSERT INTO {table} DEFAULT VALUES",
                    f"UPDATE {table} SET organization_id = NULL",
                    f"DELETE FROM {table}",
                ):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=table):
                        await two.as_role(role, statement)


class TestGoingBack:
    def test_with_accounts_is_refused_and_nothing_is_undone(
        self, database: Database, zygote: Zygote
    ) -> None:
        created = run(
            "partman", "admin", "create", OPERATOR,
            environment=database.environment, stdin=f"{PASSWORD}\n",
        )  # fmt: skip
        assert created.code == 0, created.output
        back = ("piccolo", "migrations", "backwards", "partman", "--auto_agree")
        environment = {"DATABASE_URL": database.url, "PARTMAN_ENV": "production"}
        assert zygote.run(*back, AFTER_THE_CONSOLE, environment=environment).code == 0
        before = catalog(database.url)
        refused = zygote.run(*back, CONSOLE, environment=environment)
        assert refused.code == ExitCode.DATA_LOSS
        assert "console_accounts: the table is gone (1 row)" in refused.stderr
        assert query(database.url, "SELECT username FROM console_accounts")
        assert catalog(database.url) == before

    def test_without_any_leaves_nothing_of_it(self, database: Database, zygote: Zygote) -> None:
        back = ("piccolo", "migrations", "backwards", "partman", CONSOLE, "--auto_agree")
        done = zygote.run(*back, environment=database.environment)
        assert done.code == 0, done.output
        left = query(
            database.url,
            "SELECT relname FROM pg_class WHERE relname LIKE '%console%' UNION ALL"
            " SELECT proname FROM pg_proc WHERE proname LIKE '%console%'",
        )
        assert left == []
        refused = run("partman", "admin", "list", environment=database.environment)
        assert refused.code == ExitCode.NO
        assert "The database has no accounts of the console" in refused.stderr
        assert "piccolo migrations forwards all" in refused.stderr
