"""The operator: sign-up, deactivation, deletion; and reports across organizations."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import bcrypt
import pytest

from partman.engine import PartmanEngine
from partman.errors import (
    DatabaseUnavailableError,
    NoTenancyError,
    NotIsolatedError,
    PartmanError,
    PermissionDeniedError,
    RowRefusedError,
    TenantChangedError,
    TenantNestingError,
    TenantNotFoundError,
    TryAgainLaterError,
)
from partman.isolation import Roles
from partman.operator import (
    count_rows,
    delete_tenant,
    find_tenant,
    list_tenants,
    reports,
    session,
    set_active,
)
from partman.operator.session import acting_as, enter_tenant
from partman.organizations import (
    ORGANIZATIONS,
    InvalidSubdomainError,
    SubdomainTakenError,
    create_organization,
)
from partman.tables import TENANCY, User, organization_for_subdomain
from partman.tenant import tenant
from tests.support import Database, as_role
from tests.tenants import Tenants, eventually, held, in_use, login_role

ANN: dict[str, Any] = {
    "name": "Acme",
    "email": "ann@acme.example",
    "password": "correct horse battery staple",
    "first_name": "Ann",
    "last_name": "Lee",
}


@pytest.fixture
async def engine(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartmanEngine]:
    async with in_use(tenants.engine(), monkeypatch, pool=True) as engine:
        yield engine


@pytest.fixture
def console_login(database: Database) -> Iterator[str]:
    """A login that may become partman_console, and not the operator."""
    with login_role("partman_console") as name:
        yield name


async def organizations(tenants: Tenants) -> list[str]:
    rows = await tenants.as_owner("SELECT subdomain FROM organizations ORDER BY 1")
    return [row["subdomain"] for row in rows]


async def as_operator(organization: UUID | None, statement: str) -> list[asyncpg.Record]:
    async with acting_as("operator", "a test") as connection:
        if organization is not None:
            await enter_tenant(connection, organization)
        return await connection.fetch(statement)


class TestSignUp:
    @pytest.fixture(autouse=True)
    def quick_hashes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Spend no third of a second on each password."""
        monkeypatch.setattr(bcrypt, "gensalt", partial(bcrypt.gensalt, rounds=4))

    async def test_creates_the_organization_with_its_first_user(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        created = await create_organization(subdomain="acme", **ANN)
        assert await organization_for_subdomain("acme") == created
        async with tenant(created):
            [user] = await User.select(User.email, User.role, User.password_hash)
        assert user["email"] == "ann@acme.example"
        assert user["role"] == "admin"
        assert user["password_hash"].startswith("$2b$")

    @pytest.mark.parametrize(
        ("subdomain", "user", "error", "says"),
        [
            ("first", {}, SubdomainTakenError, "with the subdomain 'first' already"),
            ("Acme", {}, InvalidSubdomainError, "'Acme' is no label of a host name"),
            ("not a host name!", {}, InvalidSubdomainError, "Nothing was created"),
            (
                "acme",
                {"first_name": "x" * 101},
                RowRefusedError,
                "long.* No organization was created",
            ),
        ],
    )
    async def test_is_refused_with_a_reason_and_leaves_nothing(
        self,
        tenants: Tenants,
        engine: PartmanEngine,
        subdomain: str,
        user: dict[str, Any],
        error: type[Exception],
        says: str,
    ) -> None:
        before = await organizations(tenants)
        with pytest.raises(error, match=says):
            await create_organization(subdomain=subdomain, **(ANN | user))
        assert await organizations(tenants) == before

    async def test_is_refused_inside_of_tenant(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            with pytest.raises(TenantNestingError, match="creating an organization was asked"):
                await create_organization(subdomain="acme", **ANN)


class TestTheOperator:
    async def test_reaches_the_rows_of_one_organization_and_changes_none(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        with pytest.raises(asyncpg.UndefinedObjectError, match=r"partman\.organization_id"):
            await as_operator(None, "SELECT name FROM partners")
        found = await as_operator(tenants.first, "SELECT name FROM partners")
        assert [row["name"] for row in found] == ["partner of the first"]
        for statement in (
            "UPDATE partners SET name = 'x'",
            "DELETE FROM partners",
            "UPDATE organizations SET subdomain = 'x'",
            "SELECT password FROM console_accounts",
            "CREATE TABLE t ()",
        ):
            with pytest.raises(PermissionDeniedError):
                await as_operator(tenants.first, statement)
        with pytest.raises(PermissionDeniedError, match="row-level security"):
            await as_operator(
                tenants.first,
                "INSERT INTO partners (organization_id, name, domain, commission_structure)"
                f" VALUES ('{tenants.second}', 'x', 'x', '{{}}')",
            )

    async def test_is_refused_where_it_cannot_be(
        self, tenants: Tenants, engine: PartmanEngine, console_login: str
    ) -> None:
        for roles, error in (
            (Roles(), NoTenancyError),
            (Roles(operator="partman_test_nobody"), NotIsolatedError),
        ):
            other = tenants.engine()
            other.tenancy = replace(TENANCY, roles=roles)
            with pytest.raises(error, match="Nothing was run"):
                await list_tenants(ORGANIZATIONS, engine=other)
        as_console = tenants.engine(as_role(tenants.database.url, console_login))
        with pytest.raises(PermissionDeniedError, match="GRANT partman_operator TO"):
            await list_tenants(ORGANIZATIONS, engine=as_console)

    async def test_deactivates_and_reactivates(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        for active in (False, True):
            assert await set_active(ORGANIZATIONS, tenants.first, active=active)
            assert not await set_active(ORGANIZATIONS, str(tenants.first), active=active)
            found = await find_tenant(ORGANIZATIONS, "first")
            assert found.active is active
            assert await organization_for_subdomain("first") == (found.id if active else None)
        with pytest.raises(TenantNotFoundError, match="There is no organization nobody"):
            await find_tenant(ORGANIZATIONS, "nobody")


class TestDeletion:
    async def test_takes_all_rows_of_one_organization_and_no_others(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        await tenants.as_owner(
            "INSERT INTO console_accounts (username, email, password, active, admin,"
            " superuser, organization_id) VALUES ('a@b.c', 'a@b.c', 'pbkdf2_sha256$1$x$ff',"
            " true, true, false, $1)",
            tenants.first,
        )
        seen = await count_rows(ORGANIZATIONS, tenants.first)
        assert [each for each in seen.by_table if each[1]] == [
            ("console_accounts", 1),
            ("partners", 1),
        ]
        assert str(seen) == "2 rows (console_accounts: 1, partners: 1)"
        assert await delete_tenant(ORGANIZATIONS, tenants.first, seen=seen) == seen
        assert "first" not in await organizations(tenants)
        assert await tenants.partners() == ["partner of the second"]
        assert await tenants.as_owner("SELECT FROM console_accounts") == []
        with pytest.raises(TenantNotFoundError):
            await count_rows(ORGANIZATIONS, tenants.first)

    async def test_is_refused_if_rows_have_come_since_also_while_it_waits(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        seen = await count_rows(ORGANIZATIONS, tenants.first)
        with held(
            tenants.database.url,
            "INSERT INTO partners (organization_id, name, domain, commission_structure)"
            f" VALUES ('{tenants.first}', 'late', 'x', '{{}}')",
        ):
            deleting = asyncio.create_task(delete_tenant(ORGANIZATIONS, tenants.first, seen=seen))
            await eventually(lambda: waits_for_a_lock(tenants))
        with pytest.raises(TenantChangedError, match=r"has 2 rows \(partners: 2\), and you agreed"):
            await deleting
        assert len(await tenants.partners()) == 3

    async def test_gives_up_on_rows_that_stay_locked(
        self, tenants: Tenants, engine: PartmanEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session, "_LOCK_TIMEOUT", "1ms")
        seen = await count_rows(ORGANIZATIONS, tenants.first)
        with (
            held(tenants.database.url, "LOCK organizations"),
            pytest.raises(TryAgainLaterError, match="Nothing was changed"),
        ):
            await delete_tenant(ORGANIZATIONS, tenants.first, seen=seen)

    async def test_of_a_table_that_it_may_not_count_is_refused(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        await tenants.as_owner(
            "CREATE TABLE invoices (of uuid REFERENCES organizations (id) ON DELETE CASCADE)"
        )
        with pytest.raises(PermissionDeniedError, match=r"GRANT SELECT \(of\) ON invoices"):
            await count_rows(ORGANIZATIONS, tenants.first)


class TestTheTransaction:
    async def test_does_not_say_saved_when_an_error_was_caught(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def fail_and_go_on() -> None:
            async with acting_as("operator", "the test") as connection:
                with suppress(asyncpg.DivisionByZeroError):
                    await connection.execute("SELECT 1 / 0")

        with pytest.raises(PartmanError, match="The server rolled everything back"):
            await fail_and_go_on()

    async def test_does_not_know_what_was_saved_when_the_connection_is_lost(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        with pytest.raises(DatabaseUnavailableError, match="It is not known whether"):
            async with acting_as("operator", "the test") as connection:
                await tenants.as_owner(
                    "SELECT pg_terminate_backend($1, 10000)", connection.get_server_pid()
                )


class TestReports:
    async def test_show_counts_and_sums_of_all_organizations(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        await tenants.as_owner(
            "INSERT INTO opportunities (organization_id, partner_id, customer_name, deal_value,"
            " stage, expected_close_date) SELECT organization_id, id, 'c', n, 'won', 'today'"
            " FROM partners, generate_series(1, 3) AS n"
        )
        async with reports() as connection:
            found = await connection.fetch(
                "SELECT subdomain, partners, users, opportunities FROM report_organizations"
                " WHERE subdomain <> 'default' ORDER BY subdomain"
            )
            sums = await connection.fetch(
                "SELECT opportunities, deal_value FROM report_pipeline WHERE organization_id = $1",
                tenants.second,
            )
        assert [tuple(row) for row in found] == [("first", 1, 0, 3), ("second", 1, 0, 3)]
        assert [tuple(row) for row in sums] == [(3, Decimal(6))]

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT email FROM users",
            "SELECT * FROM partners",
            "SELECT name FROM organizations",
            "UPDATE organizations SET is_active = false",
            "SELECT * FROM console_accounts",
            "SELECT * FROM migration",
        ],
    )
    async def test_show_nothing_else_and_change_nothing(
        self, tenants: Tenants, engine: PartmanEngine, statement: str
    ) -> None:
        refused: Any = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
        with pytest.raises(refused):
            async with reports() as connection:
                await connection.fetch(statement)

    async def test_show_one_moment_and_cannot_write(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def count() -> int:
            return int(await connection.fetchval("SELECT sum(partners) FROM report_organizations"))

        async with reports() as connection:
            before = await count()
            await tenants.add_partner(tenants.first, "another")
            assert await count() == before
            assert await connection.fetchval("SHOW transaction_read_only") == "on"

    async def test_views_say_what_they_show_and_read_with_the_readers_rights(
        self, tenants: Tenants
    ) -> None:
        rows = await tenants.as_owner(
            "SELECT relname, obj_description(oid) AS comment,"
            " 'security_invoker=true' = ANY (reloptions) AS invoker FROM pg_class"
            " WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        )
        assert {row["relname"] for row in rows} == {"report_organizations", "report_pipeline"}
        assert all(row["comment"] and row["invoker"] for row in rows)


async def waits_for_a_lock(tenants: Tenants) -> bool:
    [row] = await tenants.as_owner(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    return bool(row["count"])
