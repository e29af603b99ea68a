"""How a database that ``partman distribute`` has divided stands: nodes, shards, tenants."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.database.distributed import distribution

if TYPE_CHECKING:
    from asyncpg import Connection, Record

MOST_TENANTS = 5
"""How many of the largest tenants are told."""
_TIMEOUT = "SET LOCAL citus.node_connection_timeout = 3000"
"""Milliseconds, for a node that does not answer."""

_NODES = """
SELECT n.nodeid, format('%s:%s', n.nodename, n.nodeport) AS name,
    n.groupid = 0 AS is_coordinator, n.isactive AS is_active, count(d.logicalrelid) AS shards
FROM pg_catalog.pg_dist_node n
LEFT JOIN pg_catalog.pg_dist_placement p USING (groupid)
LEFT JOIN pg_catalog.pg_dist_shard s USING (shardid)
LEFT JOIN pg_catalog.pg_dist_partition d ON d.logicalrelid = s.logicalrelid AND d.partmethod = 'h'
WHERE n.noderole = 'primary'
GROUP BY n.nodeid ORDER BY n.groupid <> 0, n.nodeid
"""
_MOVES = """
SELECT t.status::text AS status, count(*) AS tasks
FROM pg_catalog.pg_dist_background_job j JOIN pg_catalog.pg_dist_background_task t USING (job_id)
WHERE j.finished_at IS NULL GROUP BY 1 ORDER BY 1
"""
# The statistics of ANALYZE name the most common tenants of each shard, and their part of its rows.
_ON_NODE = f"""
WITH part AS (
    SELECT shard.oid, c.reltuples, s.most_common_vals::text::text[] AS tenants,
        s.most_common_freqs AS parts
    FROM pg_catalog.pg_dist_partition d
    JOIN pg_catalog.pg_dist_shard h USING (logicalrelid)
    JOIN pg_catalog.pg_dist_placement p USING (shardid)
    JOIN pg_catalog.pg_dist_local_group g USING (groupid)
    JOIN pg_catalog.pg_class parent ON parent.oid = d.logicalrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = parent.relnamespace
    CROSS JOIN LATERAL (
        SELECT pg_catalog.to_regclass(pg_catalog.format(
            '%I.%I', n.nspname, parent.relname || '_' || h.shardid
        ))::oid AS oid
    ) shard
    JOIN pg_catalog.pg_class c ON c.oid = shard.oid
    LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
        AND s.attname = pg_catalog.column_to_column_name(d.logicalrelid, d.partkey)
    WHERE d.partmethod = 'h'
)
SELECT pg_catalog.json_build_object(
    'bytes', (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(oid)), 0) FROM part),
    'tenants', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'id', tenant, 'rows', rows
        )), '[]') FROM (
            SELECT tenant, pg_catalog.round(sum(reltuples * of_rows))::bigint AS rows
            FROM part CROSS JOIN LATERAL unnest(tenants, parts) AS of (tenant, of_rows)
            GROUP BY tenant ORDER BY 2 DESC, 1 LIMIT {MOST_TENANTS}
    ) AS largest)
)
"""
_ASK = """
SELECT nodeid, success, result FROM pg_catalog.run_command_on_all_nodes($1)
"""


@dataclass(frozen=True)
class TenantSize:
    """A tenant with many rows."""

    id: str
    rows: int
    """In all tenant tables, as of the last ANALYZE: an estimate."""
    node: str
    """The address of the node that has them."""


@dataclass(frozen=True)
class NodeState:
    """A node, as the coordinator knows it."""

    name: str
    """Its address."""
    is_coordinator: bool
    is_active: bool
    """Whether Citus sends queries to it."""
    shards: int
    """Of tenant tables."""
    bytes: int | None = None
    """Of these shards, with their indexes; None if it was not asked, or does not answer."""
    error: str | None = None
    """What was said by a node that does not answer."""


@dataclass(frozen=True)
class ClusterState:
    """How a distributed database stands."""

    nodes: tuple[NodeState, ...]
    """The coordinator first."""
    tenants: tuple[TenantSize, ...]
    """The largest ones, the largest first."""
    moves: dict[str, int]
    """Of a rebalance that has not ended: the number of its moves, by their state."""
    was_asked: bool
    """Whether the nodes were asked, which needs a right. Otherwise sizes and tenants are not
    known.
    """


async def read_cluster(
    connection: "Connection[Record]", *, asks_nodes: bool = True
) -> ClusterState | None:
    """Return how a database stands that ``partman distribute`` has divided; None for any other.

    ``asks_nodes``: whether to ask them for sizes and tenants; otherwise it is what the coordinator
    knows.
    """
    if await distribution(connection) is None:
        return None
    nodes = {row["nodeid"]: row for row in await connection.fetch(_NODES)}
    moves = {row["status"]: row["tasks"] for row in await connection.fetch(_MOVES)}
    told = await _asked(connection) if asks_nodes else {}
    states, tenants = [], list[TenantSize]()
    for number, row in nodes.items():
        answered, text = told.get(number, (False, None))
        said: dict[str, Any] = json.loads(text) if answered and text else {}
        tenants += (TenantSize(**each, node=row["name"]) for each in said.get("tenants", ()))
        states.append(
            NodeState(
                row["name"],
                row["is_coordinator"],
                row["is_active"],
                row["shards"],
                said.get("bytes"),
                text if not answered else None,
            )
        )
    tenants.sort(key=lambda each: (-each.rows, each.id))
    return ClusterState(tuple(states), tuple(tenants[:MOST_TENANTS]), moves, bool(told))


async def _asked(connection: "Connection[Record]") -> dict[int, tuple[bool, str]]:
    """Return what each node answers; nothing if this role may not ask."""
    try:
        async with connection.transaction():
            await connection.execute(_TIMEOUT)
            rows = await connection.fetch(_ASK, _ON_NODE)
    except asyncpg.InsufficientPrivilegeError:
        return {}
    return {row["nodeid"]: (row["success"], row["result"]) for row in rows}
