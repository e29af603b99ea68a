"""A tenant who can have a statement run tries to reach another tenant's rows."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from partman.engine import PartmanEngine
from partman.settings import Pooling, Settings
from partman.tables import TENANCY
from partman.tenant import tenant
from tests.database.audit_support import PROJECT
from tests.isolation.attacks import BLIND, BY_SET_CONFIG, REFUSED
from tests.isolation.conftest import Populated, application, tenant_of
from tests.isolation.matrix import Matrix
from tests.isolation.tables import Connection
from tests.tenants import DEADLINE


def aimed(statement: str, populated: Populated) -> str:
    world = populated.world
    return statement.format(
        me=world.other,
        victim=world.own,
        partner=world.rows["public.partners", world.own][0]["id"],
        subdomain=world.rows["public.organizations", world.own][0]["subdomain"],
        owner=populated.owner,
        database=populated.database.name,
        oid="{oid}",
    )


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str, attacker: Connection, populated: Populated) -> None:
    statement, sqlstate = REFUSED[name]
    sql = aimed(statement, populated)
    if "{oid}" in sql:
        oid = await attacker.fetchval("SELECT 'partners'::regclass::oid::int")
        sql = sql.format(oid=oid)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await attacker.execute(sql)
    assert refused.value.sqlstate in {sqlstate, *populated.unsupported}, refused.value


@pytest.mark.parametrize("name", BLIND)
async def test_sees_nothing(name: str, populated: Populated) -> None:
    world = populated.world
    secrets = {
        value.strip("'")
        for (_, tenant), rows in world.rows.items()
        for row in rows
        for column, value in row.items()
        if tenant == world.own and column in {"name", "email", "subdomain", "title", "id"}
    }
    async with populated.as_tenant(world.other) as connection:
        rows = await populated.answer(connection, aimed(BLIND[name], populated))

    text = " ".join(str(value) for row in rows for value in row.values())
    assert not [secret for secret in secrets if secret in text]
    assert "there" not in text


@pytest.mark.parametrize("name", BY_SET_CONFIG)
async def test_set_config(name: str, attacker: Connection, populated: Populated) -> None:
    """Refused; where no superuser has taken the right away, the audit says so."""
    if await attacker.fetchval(
        "SELECT has_function_privilege('set_config(text, text, boolean)', 'EXECUTE')"
    ):
        async with populated.undone() as connection:
            assert "set-config" in {gap.rule for gap in await PROJECT.gaps(connection)}
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="set_config"):
            await attacker.fetch(aimed(BY_SET_CONFIG[name], populated))


async def test_several_statements_in_one_are_refused_by_the_protocol_with_arguments(
    attacker: Connection, populated: Populated
) -> None:
    two = f"SELECT $1::int; SET LOCAL partman.organization_id = '{populated.world.own}'"
    with pytest.raises(asyncpg.PostgresSyntaxError, match="multiple commands"):
        await attacker.fetch(two, 1)


async def test_outside_of_a_tenant_nothing_is_reached(populated: Populated) -> None:
    async with application(populated) as connection:
        for table in populated.world.tables:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table.name}")


@pytest.mark.parametrize("leave", ["COMMIT", "ROLLBACK", "RESET ROLE", "SET ROLE NONE", "ABORT"])
async def test_leaving_the_tenant_removes_all_privileges(leave: str, attacker: Connection) -> None:
    await attacker.execute(leave)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attacker.fetch("SELECT * FROM partners")
    await attacker.execute("ROLLBACK; BEGIN")


async def test_row_security_off_is_an_error_and_not_all_rows(attacker: Connection) -> None:
    await attacker.execute("SET LOCAL row_security = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await attacker.fetch("SELECT * FROM partners")


@pytest.mark.parametrize(
    "path", ["pg_temp, public", "pg_catalog, public, pg_temp", '"$user", public']
)
async def test_a_search_path_changes_nothing(
    path: str, attacker: Connection, populated: Populated
) -> None:
    await attacker.execute(f"SET LOCAL search_path = {path}")
    found = await attacker.fetch("SELECT organization_id FROM partners")
    assert {row[0] for row in found} == {populated.world.other}


async def test_a_prepared_statement_runs_for_the_current_tenant(populated: Populated) -> None:
    world = populated.world
    async with application(populated) as connection:
        async with tenant_of(connection, world.own):
            prepared = await connection.prepare("SELECT organization_id FROM partners")
            for _ in range(7):  # from the sixth time on the plan is a generic one
                assert {row[0] for row in await prepared.fetch()} == {world.own}
        async with tenant_of(connection, world.other):
            assert {row[0] for row in await prepared.fetch()} == {world.other}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await prepared.fetch()


@pytest.mark.parametrize("pooling", Pooling)
async def test_a_cursor_that_outlives_the_transaction_is_not_the_next_tenants(
    pooling: Pooling, populated: Populated
) -> None:
    """Its rows stay with the session, which a transaction pool does not reset."""
    settings = {"DATABASE_URL": populated.url("partman_api"), "PARTMAN_POOLING": pooling.value}
    engine = PartmanEngine(settings=Settings.load(settings), tenancy=TENANCY)
    await engine.start_connection_pool(min_size=1, max_size=1)
    try:
        async with tenant(populated.world.own, engine=engine) as block:
            await block.connection.execute(
                "DECLARE held CURSOR WITH HOLD FOR SELECT organization_id FROM partners"
            )
        with pytest.raises(asyncpg.InvalidCursorNameError):
            async with tenant(populated.world.other, engine=engine) as block:
                await block.connection.fetch("FETCH ALL FROM held")
    finally:
        await asyncio.wait_for(engine.close_connection_pool(), DEADLINE)


async def test_a_cascade_ends_at_the_tenant(populated: Populated) -> None:
    async with populated.as_tenant(populated.world.other) as connection:
        for table in ("partners", "users"):
            assert await connection.execute(f"DELETE FROM {table}") == "DELETE 2"
        assert await connection.fetchval("SELECT count(*) FROM opportunities") == 0


async def test_a_reference_does_not_tell_whether_another_tenant_has_the_row(
    attacker: Connection, populated: Populated
) -> None:
    there = populated.world.rows["public.partners", populated.world.own][0]["id"]
    answers = set()
    for partner in (there, f"'{uuid4()}'"):
        await attacker.execute("SAVEPOINT attempt")
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await attacker.execute(f"UPDATE opportunities SET partner_id = {partner}")
        answers.add(str(refused.value.detail).replace(partner.strip("'"), "<id>"))
        await attacker.execute("ROLLBACK TO attempt")
    assert len(answers) == 1


async def test_copy_gives_the_tenants_rows_and_takes_none(
    attacker: Connection, populated: Populated
) -> None:
    out: list[bytes] = []

    async def take(data: bytes) -> None:
        out.append(data)

    await attacker.copy_from_table("partners", columns=["organization_id"], output=take)
    assert set(b"".join(out).decode().split()) == {str(populated.world.other)}
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
        await attacker.copy_to_table("partners", source=_nothing(), columns=["name"])


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def test_a_do_block_sees_the_tenants_rows(attacker: Connection, populated: Populated) -> None:
    notices: list[str] = []
    attacker.add_log_listener(lambda _, message: notices.append(str(message.message)))
    await attacker.execute(
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT organization_id FROM partners"
        " LOOP RAISE WARNING '%', r.organization_id; END LOOP; END $$"
    )
    assert set(notices) == {str(populated.world.other)}


async def test_the_lookup_is_no_way_to_list_organizations(populated: Populated) -> None:
    async with application(populated) as connection:
        for asked in ("%", "' OR true --", "", None):
            found = await connection.fetchval("SELECT organization_for_subdomain($1)", asked)
            assert found is None


async def test_the_lookup_omits_inactive_organizations(populated: Populated) -> None:
    [organization] = populated.world.rows["public.organizations", populated.world.own]
    lookup = f"SELECT organization_for_subdomain({organization['subdomain']})"
    async with populated.undone() as connection:
        assert await connection.fetchval(lookup) == populated.world.own
        await connection.execute(
            f"UPDATE organizations SET is_active = false WHERE id = '{populated.world.own}'"
        )
        assert await connection.fetchval(lookup) is None


async def test_drop_owned_opens_nothing_and_the_audit_sees_it(populated: Populated) -> None:
    """Each role may do it. It leaves the rights, and newer servers drop the policies."""
    policies = "SELECT tablename, policyname FROM pg_policies ORDER BY 1, 2"
    async with populated.undone() as connection:
        before = await connection.fetch(policies)
        await connection.execute("SET LOCAL ROLE partman_app; DROP OWNED BY partman_app")
        await connection.execute(f"SET LOCAL partman.organization_id = '{populated.world.other}'")
        seen = {row["organization_id"] for row in await connection.fetch("SELECT * FROM partners")}
        await connection.execute("RESET ROLE")
        has_policies = await connection.fetch(policies) == before
        assert seen == ({populated.world.other} if has_policies else set())
        gaps = {gap.rule for gap in await PROJECT.gaps(connection)}
        assert ("tenant-policy" in gaps) is not has_policies


async def test_a_careless_policy_opens_nothing(populated: Populated) -> None:
    async with populated.undone() as connection:
        await connection.execute(f"SET LOCAL ROLE {populated.owner}")
        await connection.execute("CREATE POLICY careless ON partners TO partman_app USING (true)")
        await connection.execute("RESET ROLE")
        matrix = await Matrix.create(connection, populated.world)
        assert await matrix.failures(connection, {"public.partners"}) == []


async def test_a_view_of_the_invokers_shows_the_tenants_rows(populated: Populated) -> None:
    async with populated.undone() as connection:
        await connection.execute(f"SET LOCAL ROLE {populated.owner}")
        await connection.execute(
            "CREATE VIEW names WITH (security_invoker) AS SELECT organization_id FROM partners;"
            "GRANT SELECT ON names TO partman_app;"
            "SET LOCAL ROLE partman_app;"
            f"SET LOCAL partman.organization_id = '{populated.world.other}'"
        )
        found = await connection.fetch("SELECT organization_id FROM names")
        assert {row[0] for row in found} == {populated.world.other}


async def test_another_sessions_statements_are_not_shown(
    attacker: Connection, populated: Populated
) -> None:
    async with application(populated) as connection, tenant_of(connection, populated.world.own):
        await connection.execute("SELECT 'a secret of the victim'")
        shown = await attacker.fetch(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    assert shown
    assert {row[0] for row in shown} == {"<insufficient privilege>"}


async def test_another_session_cannot_be_ended(attacker: Connection, populated: Populated) -> None:
    async with application(populated) as victim:
        pid = await victim.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await attacker.execute(f"SELECT pg_terminate_backend({pid})")


async def test_nothing_is_announced_when_another_writes(
    attacker: Connection, populated: Populated
) -> None:
    """PostgreSQL lets everybody listen, so nothing may be said."""
    async with application(populated) as victim, tenant_of(victim, populated.world.own):
        await victim.execute("UPDATE partners SET name = name; UPDATE users SET role = role")
        sources = await attacker.fetch(
            "SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
    assert not [row[0] for row in sources if "notify" in row[0].lower()]


async def test_an_advisory_lock_is_shared_and_says_nothing_of_rows(
    attacker: Connection, populated: Populated
) -> None:
    """Two who conspire can signal each other; it takes both."""
    async with application(populated) as accomplice, tenant_of(accomplice, populated.world.own):
        await accomplice.execute("SELECT pg_advisory_xact_lock(7)")
        assert await attacker.fetchval("SELECT pg_try_advisory_xact_lock(7)") is False
        await accomplice.execute("UPDATE partners SET name = name")
        taken = await attacker.fetch(
            "SELECT objid FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND d.datname = current_database()"
            " AND objsubid <= 2"  # those of Citus itself have higher numbers
        )
    assert {row[0] for row in taken} == {7}
