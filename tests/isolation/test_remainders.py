"""What isolation does not stop, and docs/tenancy.md says so: when one of these is stopped after
all, or another comes to light, the document changes with this file.
"""

import re
from uuid import uuid4

from tests.isolation.conftest import Populated, application, tenant_of
from tests.isolation.tables import Connection


async def test_several_statements_without_arguments_can_choose_a_tenant(
    attacker: Connection, populated: Populated
) -> None:
    """The simple protocol: the driver's own execute() without arguments, which tenant() keeps."""
    await attacker.execute(f"SELECT 1; SET LOCAL partman.organization_id = '{populated.world.own}'")
    assert await _whose(attacker) == {populated.world.own}


async def test_a_statement_of_the_attackers_choice_can_choose_a_tenant(
    attacker: Connection, populated: Populated
) -> None:
    """The same in one: whoever may send whole statements needs no second."""
    await attacker.execute(
        f"DO $$ BEGIN SET LOCAL partman.organization_id = '{populated.world.own}'; END $$"
    )
    assert await _whose(attacker) == {populated.world.own}


async def test_on_conflict_tells_whether_a_known_id_exists(
    attacker: Connection, populated: Populated
) -> None:
    there = populated.world.rows["public.partners", populated.world.own][0]["id"]
    tags = [
        await attacker.execute(
            "INSERT INTO partners (id, organization_id, name, domain, commission_structure)"
            f" VALUES ({key}, '{populated.world.other}', 'n', 'd', '{{}}') ON CONFLICT DO NOTHING"
        )
        for key in (there, f"'{uuid4()}'")
    ]
    assert tags == ["INSERT 0 0", "INSERT 0 1"]


async def test_explain_analyze_counts_the_rows_that_the_policy_removed(
    attacker: Connection, populated: Populated
) -> None:
    await attacker.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
    plan = await attacker.fetch("EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM partners")
    removed = re.search(r"Rows Removed by Filter: (\d+)", "\n".join(row[0] for row in plan))
    assert removed is not None
    assert int(removed[1]) == len(populated.world.rows["public.partners", populated.world.own])


async def test_sizes_of_whole_tables_are_known_to_everybody(populated: Populated) -> None:
    """How much all tenants have together; whose it is, nobody is told."""
    async with populated.undone() as connection:
        await connection.execute("ANALYZE partners")
        await connection.execute("SET LOCAL ROLE partman_app")
        rows = await connection.fetchval(
            "SELECT reltuples::int FROM pg_class WHERE oid = 'partners'::regclass"
        )
    own, other = populated.world.own, populated.world.other
    assert rows == sum(
        len(populated.world.rows["public.partners", tenant]) for tenant in (own, other)
    )


async def test_large_objects_have_no_tenant(attacker: Connection, populated: Populated) -> None:
    """They belong to the role that all tenants share: the application is to keep nothing there."""
    number = 4_000_000_000
    async with application(populated) as victim:
        async with tenant_of(victim, populated.world.own):
            await victim.execute(f"SELECT lo_from_bytea({number}, 'a secret')")
            await victim.execute("COMMIT")
        try:
            assert await attacker.fetchval(f"SELECT lo_get({number})") == b"a secret"
        finally:
            async with tenant_of(victim, populated.world.own):
                await victim.execute(f"SELECT lo_unlink({number}); COMMIT")


async def _whose(connection: Connection) -> set[object]:
    return {row[0] for row in await connection.fetch("SELECT organization_id FROM partners")}
