"""The attacks of tests/isolation by a tenant of a cluster: its victim is in the same shards."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO

import asyncpg
import pytest

from tests.database.audit_support import PROJECT
from tests.distributed.cluster import cluster
from tests.distributed.isolated import (
    SETTINGS,
    UNSUPPORTED,
    ClusterPopulated,
    populate,
    ready,
)
from tests.isolation.conftest import application, tenant_of
from tests.isolation.tables import Connection
from tests.isolation.test_attacks import *  # noqa: F403 -- also those that are added
from tests.isolation.test_attacks import test_drop_owned_opens_nothing_and_the_audit_sees_it
from tests.summary import Record, count

REFUSED_BY_NODES = frozenset({"42501"})
"""What the coordinator would take for nothing, and a node does not."""


@pytest.fixture(scope="module")
def populated() -> Iterator[ClusterPopulated]:
    with cluster() as made:
        ready(made)
        world = asyncio.run(populate(made, on_one_shard=True, first=1000))
        unsupported = UNSUPPORTED | REFUSED_BY_NODES
        yield ClusterPopulated(made.database, world, True, SETTINGS, unsupported)


@pytest.fixture
async def attacker(populated: ClusterPopulated) -> AsyncIterator[Connection]:
    async with application(populated) as connection, tenant_of(connection, populated.world.other):
        yield connection


@pytest.fixture(autouse=True)
def _counted(record_property: Record) -> None:
    count(record_property, attacks=1)


@asynccontextmanager
async def superuser(populated: ClusterPopulated) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(
        populated.database.url, server_settings=SETTINGS, statement_cache_size=0
    )
    try:
        yield connection
    finally:
        await connection.close()


async def rules(connection: Connection) -> set[str]:
    """Return the rules that ``partman check`` sees broken."""
    return {gap.rule for gap in await PROJECT.gaps(connection)}


async def test_copy_gives_the_tenants_rows_and_takes_none(  # type: ignore[no-redef]
    attacker: Connection, populated: ClusterPopulated
) -> None:
    """Of a query. Of a table, Citus takes the next connection, and that may have no tenant."""
    own = {str(populated.world.other)}
    assert await copied(attacker, "(SELECT organization_id FROM partners)") == own
    assert await copied(attacker, "partners (organization_id)") <= own
    await attacker.execute("ROLLBACK")
    async with tenant_of(attacker, populated.world.other):
        with pytest.raises(asyncpg.PostgresError):
            await copied(attacker, "partners (organization_id)")
    async with tenant_of(attacker, populated.world.other):
        with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
            await attacker.copy_records_to_table(
                "partners", records=[(populated.world.other,)], columns=["organization_id"]
            )


async def copied(connection: Connection, what: str) -> set[str]:
    output = BytesIO()
    # The driver's public methods write the statement themselves.
    await connection._copy_out(f"COPY {what} TO STDOUT", output, None)  # type: ignore[attr-defined]
    return set(output.getvalue().decode().split())


async def test_a_careless_policy_opens_nothing(populated: ClusterPopulated) -> None:  # type: ignore[no-redef]
    """Here it opens the table, for want of restrictive policies on the nodes: check must say so."""
    async with superuser(populated) as connection:
        usual = await rules(connection)
        await connection.execute("CREATE POLICY careless ON partners TO partman_app USING (true)")
        try:
            assert await rules(connection) - usual == {"policy-condition"}
            async with tenant_of(connection, populated.world.other):
                seen = await connection.fetch("SELECT DISTINCT organization_id FROM partners")
            assert {row[0] for row in seen} >= {populated.world.own, populated.world.other}
        finally:
            await connection.execute("DROP POLICY careless ON partners")


async def test_a_view_of_the_invokers_shows_the_tenants_rows(populated: ClusterPopulated) -> None:  # type: ignore[no-redef]
    async with superuser(populated) as connection:
        await connection.execute(
            "CREATE VIEW names WITH (security_invoker) AS SELECT organization_id FROM partners"
        )
        try:
            await connection.execute("GRANT SELECT ON names TO partman_app")
            async with tenant_of(connection, populated.world.other):
                seen = await connection.fetch("SELECT organization_id FROM names")
            assert {row[0] for row in seen} == {populated.world.other}
        finally:
            await connection.execute("DROP VIEW names")


@pytest.mark.parametrize("victims", ["", "AND u.organization_id = '{}'"])
async def test_a_merge_with_a_tenant_table_is_refused(
    attacker: Connection, populated: ClusterPopulated, victims: str
) -> None:
    """Of the form that Citus has a plan for: the policy's condition is none that it takes."""
    with pytest.raises(asyncpg.InternalServerError, match="non-IMMUTABLE"):
        await attacker.execute(
            "MERGE INTO partners p USING users u ON p.organization_id = u.organization_id"
            f" {victims.format(populated.world.own)} WHEN MATCHED THEN UPDATE SET name = 'stolen'"
        )


async def test_what_is_dropped_with_the_role_opens_nothing(populated: ClusterPopulated) -> None:
    """As on a single server; the last, because it leaves no policy of the role."""
    async with superuser(populated) as connection:
        usual = await rules(connection)
        await connection.execute("SET ROLE partman_app")
        await connection.execute("DROP OWNED BY partman_app")
        await connection.execute("RESET ROLE")
        async with tenant_of(connection, populated.world.other):
            assert await connection.fetch("SELECT organization_id FROM partners") == []
        assert "tenant-policy" in await rules(connection) - usual


# Its changes and the audit's questions would be in one transaction, and wait for each other.
del test_drop_owned_opens_nothing_and_the_audit_sees_it
