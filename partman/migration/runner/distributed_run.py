"""What a run does differently on a database that ``partman distribute`` has divided.

Citus runs DDL on every shard. In ``sequential`` mode it uses one connection to each node, as a
transaction of several such statements needs. SET LOCAL is the only form that it sends to the
nodes, and with it the message that it is part of: so it is alone in a DO block.

A new tenant table is divided as soon as a statement has made it, whatever has written that: only
then it can have keys to other tenant tables, and its policies and rights reach all nodes.
"""

import json
from typing import TYPE_CHECKING

from partman.database.distributed import ROWS_ELSEWHERE, Distribution
from partman.errors import DistributedError
from partman.grammar.names import literal, quoted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

SESSION = """SET citus.multi_shard_modify_mode = 'sequential';
SET citus.propagate_set_commands = 'local'; SET citus.enable_unsafe_triggers = on;
"""
"""Triggers are "unsafe" if they look at rows of other nodes: those of tenant tables do not."""

# The timeouts that hold on the coordinator. A backfill must not pass over rows that a policy hides
# on another node, either.
_ON_ALL_NODES = """BEGIN
EXECUTE format('SET LOCAL lock_timeout = %L', current_setting('lock_timeout'));
EXECUTE format('SET LOCAL statement_timeout = %L', current_setting('statement_timeout'));
SET LOCAL row_security = off;
END"""
ON_ALL_NODES = f"DO {literal(_ON_ALL_NODES)}; "
"""SQL for the beginning of a transaction."""

_HAVE_ROWS_ELSEWHERE = f"""
SELECT logicalrelid::oid AS oid FROM pg_catalog.pg_dist_partition WHERE {ROWS_ELSEWHERE}
"""

# With NOT NULL, because a row without a tenant belongs to no node.
_UNDIVIDED = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $1 AND a.attnotnull
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
    AND NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_dist_partition
        WHERE logicalrelid = c.oid AND partmethod <> 'n'
    )
"""

_CONSTRAINTS = """
SELECT quote_ident(conname) AS name, contype::text AS type,
    pg_catalog.pg_get_constraintdef(oid) AS definition, confdeltype IN ('n', 'd') AS clears,
    ARRAY_TO_JSON(ARRAY(
        SELECT quote_ident(attname) FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
        JOIN pg_catalog.pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place
    ))::text AS columns
FROM pg_catalog.pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('p', 'f', 'n')
"""


# A statement that goes to two shards, if possible of one node, and reaches no row. The table has no
# policy for this role, which would leave it nothing to go to.
_TO_TWO_SHARDS = """
SELECT pg_catalog.format('DELETE FROM %s WHERE %I IN (%L, %L) AND ctid = ''(0,0)''',
    t.table, t.column, min(v.value), max(v.value))
FROM (
    SELECT logicalrelid AS table,
        pg_catalog.column_to_column_name(logicalrelid, partkey)::name AS column
    FROM pg_catalog.pg_dist_partition
    WHERE partmethod = 'h' AND NOT pg_catalog.row_security_active(logicalrelid)
        AND pg_catalog.has_table_privilege(logicalrelid, 'DELETE')
    ORDER BY logicalrelid::oid LIMIT 1
) t
CROSS JOIN LATERAL (
    SELECT min(c.value) AS value FROM (
        SELECT value, pg_catalog.get_shard_id_for_distribution_column(t.table, value) AS shard
        FROM pg_catalog.pg_attribute a, pg_catalog.generate_series(1, 64) i,
            LATERAL (SELECT CASE a.atttypid WHEN 'uuid'::regtype THEN pg_catalog.md5(i::text)
                ELSE i::text END AS value) of
        WHERE a.attrelid = t.table AND a.attname = t.column
        OFFSET 0
    ) c
    JOIN pg_catalog.pg_dist_placement p ON p.shardid = c.shard
    GROUP BY p.groupid, p.shardid ORDER BY p.groupid LIMIT 2
) v
GROUP BY t.table, t.column HAVING count(*) = 2
"""

_A_TABLE = "public.partman_two_phases"
_ON_ALL_NODES_ELSE = (
    f"CREATE TABLE {_A_TABLE} (nothing integer)",
    f"SELECT pg_catalog.citus_add_local_table_to_metadata('{_A_TABLE}')",
    f"DROP TABLE {_A_TABLE}",
)
"""What also makes Citus commit in two phases, and takes longer."""


def alone(set_local: str) -> str:
    """Return the SQL of SET LOCAL statements that can be sent together with others."""
    statements = set_local.strip().removesuffix(";")
    return f"DO {literal(f'BEGIN {statements}; END')}"


async def tables_elsewhere(connection: "Connection[Record]") -> set[int]:
    """Return the OIDs of the tables whose rows are not, or not only, on the coordinator."""
    return {row["oid"] for row in await connection.fetch(_HAVE_ROWS_ELSEWHERE)}


async def commit_in_two_phases(connection: "Connection[Record]") -> None:
    """Let the transaction commit on all nodes, or on none.

    What has changed rows of one shard only, Citus commits there first, and on the coordinator, with
    the ledger, afterwards. With a statement that goes to another shard, too, it prepares first.
    """
    if statement := await connection.fetchval(_TO_TWO_SHARDS):
        await connection.execute(statement)
        return
    for each in _ON_ALL_NODES_ELSE:
        await connection.execute(each)


async def undivided_tables(
    connection: "Connection[Record]", distribution: Distribution
) -> list[str]:
    """Return the tables with the tenant's column whose rows are on the coordinator alone."""
    rows = await connection.fetch(_UNDIVIDED, distribution.column)
    return [row["name"] for row in rows]


async def divide(connection: "Connection[Record]", distribution: Distribution, table: str) -> None:
    """Divide a new table as the other tenant tables are. Raises DistributedError.

    Its primary key gets the tenant's column, which Citus requires. Its foreign keys are taken off
    for that, and put on again.
    """
    found = await connection.fetch(_CONSTRAINTS, table)
    if clears := [each["name"] for each in found if each["clears"]]:
        raise DistributedError(
            f"{table} is a new tenant table, and its foreign key {', '.join(clears)} sets columns "
            "to NULL, which Citus refuses. The migration is rolled back. Use another ON DELETE, or "
            "create the table before the database is distributed."
        )
    keys = [each for each in found if each["type"] == "f"]
    for each in keys:
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {each['name']}")
    # Without its reference to a table of all nodes, Citus has made the table anew.
    named = {each["columns"]: each["name"] for each in found if each["type"] == "n"}
    for each in await connection.fetch(_CONSTRAINTS, table):
        name = named.get(each["columns"], each["name"])
        if each["type"] == "n" and name != each["name"]:
            rename = f"RENAME CONSTRAINT {each['name']} TO {name}"
            await connection.execute(f"ALTER TABLE {table} {rename}")
    for each in found:
        columns = json.loads(each["columns"])
        column = quoted(distribution.column)
        if each["type"] == "p" and column not in columns:
            name = each["name"]
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            key = ", ".join([column, *columns])
            await connection.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY ({key})"
            )
    await connection.execute(
        "SELECT pg_catalog.create_distributed_table("
        f"{literal(table)}, {literal(distribution.column)},"
        f" colocate_with => {literal(distribution.tables[0])})"
    )
    for each in keys:
        await connection.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {each['name']} {each['definition']}"
        )
