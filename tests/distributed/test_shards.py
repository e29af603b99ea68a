"""No tenant reaches another's rows: on the coordinator, nor directly on a shard of a worker."""

import asyncio
from dataclasses import dataclass

import asyncpg
import pytest

from tests.distributed.cluster import Cluster, Node
from tests.summary import Record, count
from tests.support import fetch

SHARDS = """
SELECT s.logicalrelid::regclass::text AS table, shard_name(s.logicalrelid, s.shardid) AS shard,
    n.nodeport AS port
FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
JOIN pg_dist_partition d USING (logicalrelid)
WHERE d.partmethod = 'h' OR d.repmodel = 't' ORDER BY 1, 2, 3
"""
CALLS = (
    "SELECT set_config('partman.organization_id', '{other}', true)",
    "SELECT run_command_on_workers('SELECT 1')",
    "SELECT run_command_on_all_nodes('SELECT 1')",
    "SELECT run_command_on_coordinator('SELECT 1')",
    "SELECT run_command_on_shards('users', 'SELECT count(*) FROM %s')",
    "SELECT run_command_on_placements('users', 'SELECT count(*) FROM %s')",
    "SELECT run_command_on_colocated_placements('users', 'alerts', 'SELECT 1')",
    "SELECT master_run_on_worker(ARRAY['127.0.0.1'], ARRAY[1], ARRAY['SELECT 1'], false)",
    "SELECT citus_run_local_command('SELECT 1')",
    "SELECT worker_apply_shard_ddl_command(1, 'SET partman.organization_id = ''{other}''')",
)
"""What would let a statement choose its tenant."""


@dataclass(frozen=True)
class Tried:
    """A statement as a tenant, and the most rows that it may reach; None if it must fail."""

    sql: str
    rows: int | None


def attacks(table: str, name: str, own: str, other: str, mine: int) -> list[Tried]:
    column = "id" if table == "organizations" else "organization_id"
    harmless = "settings" if table == "organizations" else "id"
    deletes = [] if table == "organizations" else [
        Tried(f"DELETE FROM {name} WHERE {column} = '{other}'", 0),
        Tried(f"INSERT INTO {name} (organization_id) VALUES ('{other}')", None),
        Tried(f"UPDATE {name} SET organization_id = '{other}'", None),
    ]  # fmt: skip
    updates = [Tried(f"UPDATE {name} SET settings = settings", mine)] if (
        harmless == "settings"
    ) else []  # fmt: skip
    return [
        Tried(f"SELECT {column} FROM {name}", mine),
        Tried(f"SELECT {column} FROM {name} WHERE {column} = '{own}'", mine),
        Tried(f"SELECT {column} FROM {name} WHERE {column} = '{other}'", 0),
        Tried(f"SELECT {column} FROM {name} WHERE {column} <> '{own}'", 0),
        Tried(f"TRUNCATE {name}", None),
        *updates,
        *deletes,
    ]


async def try_all(url: str, own: str | None, tried: list[Tried]) -> list[str]:
    """Return what went wrong."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    wrong = []
    try:
        for each in tried:
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
            await connection.execute("SET LOCAL ROLE partman_app")
            if own is not None:
                await connection.execute(f"SET LOCAL partman.organization_id = '{own}'")
            try:
                rows = await connection.fetch(each.sql)
                tag = await connection.execute(each.sql)
                reached = max(len(rows), int(tag.split()[-1]) if tag.split()[-1].isdigit() else 0)
                if each.rows is None or own is None or reached > each.rows:
                    wrong.append(f"{each.sql}: {reached} rows")
            except asyncpg.PostgresError as error:
                if each.rows is not None and own is not None:
                    wrong.append(f"{each.sql}: {error}")
            await connection.execute("ROLLBACK")
    finally:
        await connection.close()
    return wrong


@pytest.fixture(scope="module")
def tenants(distributed: Cluster) -> list[str]:
    rows = asyncio.run(
        fetch(
            distributed.database.url,
            "SELECT organization_id::text AS id FROM users GROUP BY 1 HAVING count(*) > 1",
        )
    )
    return [row["id"] for row in rows]


async def test_through_the_coordinator(
    distributed: Cluster, tenants: list[str], record_property: Record
) -> None:
    own, other = tenants[:2]
    tried = []
    for table in ("organizations", "users", "partners", "opportunities", "quarterly_goals"):
        column = "id" if table == "organizations" else "organization_id"
        [row] = await fetch(
            distributed.database.url,
            f"SELECT count(*) AS n FROM {table} WHERE {column} = '{own}'",
        )
        tried += attacks(table, table, own, other, row["n"])
    calls = [Tried(sql.format(other=other), None) for sql in CALLS]
    coordinator = distributed.nodes[0].url
    assert await try_all(coordinator, own, [*tried, *calls]) == []
    assert await try_all(coordinator, None, tried) == []
    count(record_property, cells=2 * len(tried) + len(calls), leaks=0)


async def test_directly_on_each_shard(
    distributed: Cluster, tenants: list[str], record_property: Record
) -> None:
    own, other = tenants[:2]
    shards = await fetch(distributed.database.url, SHARDS)
    assert len(shards) > 40
    number = 0
    for node in distributed.nodes:
        there = [row for row in shards if f":{row['port']}/" in node.url]
        tried = []
        for row in there:
            mine = await rows_of(node, row["table"], row["shard"], own)
            tried += attacks(row["table"], row["shard"], own, other, mine)
        tried += [Tried(sql.format(other=other), None) for sql in CALLS]
        assert await try_all(node.as_role("partman_app"), own, tried) == []
        assert await try_all(node.as_role("partman_app"), None, tried) == []
        number += 2 * len(tried)
    count(record_property, cells=number, leaks=0)


async def rows_of(node: Node, table: str, shard: str, tenant: str) -> int:
    column = "id" if table == "organizations" else "organization_id"
    [row] = await fetch(node.url, f"SELECT count(*) AS n FROM {shard} WHERE {column} = '{tenant}'")
    return int(row["n"])


async def test_a_users_deletion_clears_references(distributed: Cluster) -> None:
    """As ON DELETE SET NULL does on a single server: of the tenant's own rows, and no others."""
    connection = await asyncpg.connect(distributed.database.url)
    try:
        row = await connection.fetchrow(
            "SELECT organization_id AS tenant, assigned_user_id AS user FROM opportunities"
            " WHERE assigned_user_id IS NOT NULL LIMIT 1"
        )
        assert row is not None
        cleared = (
            "SELECT count(*), count(assigned_user_id) FROM opportunities"
            f" WHERE organization_id = '{row['tenant']}'"
        )
        before = await connection.fetchrow(cleared)
        theirs = await connection.fetchval(
            f"SELECT count(*) FROM opportunities WHERE assigned_user_id = '{row['user']}'"
        )
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
        await connection.execute("SET LOCAL ROLE partman_app")
        await connection.execute(f"SET LOCAL partman.organization_id = '{row['tenant']}'")
        await connection.execute(
            f"DELETE FROM users WHERE organization_id = '{row['tenant']}' AND id = '{row['user']}'"
        )
        after = await connection.fetchrow(cleared)
        assert before is not None
        assert after is not None
        assert tuple(after) == (before[0], before[1] - theirs)
        await transaction.rollback()
    finally:
        await connection.close()
