"""Refuse a database whose tables Citus has distributed over other nodes.

On the coordinator such a table looks like any other one and is empty: its rows, and the policies
that guard them, are on other nodes, which nothing here asks. So what is said of it would be wrong.
"""

from typing import TYPE_CHECKING

from partman.errors import DistributedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LIST = "pg_catalog.pg_dist_partition"
HAS_CITUS = f"pg_catalog.to_regclass('{_LIST}') IS NOT NULL"
"""SQL: whether the database has Citus's list of distributed tables."""
_TABLES = f"""
SELECT CASE n.nspname WHEN 'public' THEN '' ELSE pg_catalog.format('%I.', n.nspname) END
    || pg_catalog.format('%I', c.relname) AS name
FROM {_LIST} p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY name
"""
_NAMED = 5
"""How many tables a message names."""


async def distributed_tables(connection: "Connection[Record]") -> list[str]:
    """Return the names of the tables that Citus distributes, or copies to every node."""
    if not await connection.fetchval(f"SELECT {HAS_CITUS}"):
        return []
    rows = await connection.fetch(_TABLES)
    return [row["name"] for row in rows]


async def refuse_distributed(
    connection: "Connection[Record]", outcome: str = "Nothing was done"
) -> None:
    """Raise DistributedError if Citus distributes a table of the database."""
    if tables := await distributed_tables(connection):
        raise DistributedError(f"{described(tables)} {outcome}. {REMEDY}")


def described(tables: list[str]) -> str:
    """Return the sentence that says which tables are distributed, and what follows."""
    names = ", ".join(tables[:_NAMED])
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    return (
        f"Citus distributes tables of this database: {names}{more}. Their rows and policies are on "
        "other nodes, which partman does not see yet: it could not tell what a migration loses, "
        "nor whether tenants are isolated."
    )


REMEDY = "Use a single server: SELECT undistribute_table('…') brings a table back."
