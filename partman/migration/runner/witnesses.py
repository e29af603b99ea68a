"""Whether tables of a cluster have rows, asked of one shard where that is enough.

Citus asks all shards whether a table has rows, a table after the other. But as long as one tenant
has a row, the table has one. That tenant is its witness.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_DIVIDED = """
SELECT logicalrelid::oid AS oid,
    quote_ident(pg_catalog.column_to_column_name(logicalrelid, partkey)) AS column
FROM pg_catalog.pg_dist_partition WHERE partmethod = 'h'
"""


class Witnesses:
    """The witnesses that a run knows. Tables are given as their OIDs with their names in SQL."""

    def __init__(self) -> None:
        """Know none."""
        self._conditions: dict[int, str] = {}
        """The condition in SQL for the rows of a table's witness, by the table's OID."""

    async def seen(
        self, connection: "Connection[Record]", tables: Mapping[int, str]
    ) -> dict[int, bool]:
        """Return the tables whose witnesses have rows; nothing of the others is known."""
        found: dict[int, bool] = {}
        for condition in dict.fromkeys(self._conditions.values()):
            its = {
                oid: sql
                for oid, sql in tables.items()
                if self._conditions.get(oid) == condition and oid not in found
            }
            found |= await _have_rows(connection, its, condition)
        return found

    async def learn(self, connection: "Connection[Record]", tables: Mapping[int, str]) -> None:
        """Find witnesses for tables that have rows."""
        if not tables:
            return
        columns = {row["oid"]: row["column"] for row in await connection.fetch(_DIVIDED)}
        left = {oid: sql for oid, sql in tables.items() if oid in columns}
        while left:
            oid, sql = next(iter(left.items()))
            tenant = await connection.fetchval(
                f"SELECT quote_literal({columns[oid]}::text) FROM {sql} LIMIT 1"
            )
            condition = f"{columns[oid]} = {tenant}"
            for each in await _have_rows(connection, left, condition) if tenant else ():
                self._conditions[each] = condition
                del left[each]
            left.pop(oid, None)  # another session may have deleted its rows


async def _have_rows(
    connection: "Connection[Record]", tables: Mapping[int, str], condition: str
) -> dict[int, bool]:
    """Return the tables that have rows under a condition for one tenant."""
    queries = " UNION ALL ".join(
        f"(SELECT {oid}::oid AS oid FROM {sql} WHERE {condition} LIMIT 1)"
        for oid, sql in tables.items()
    )
    rows = await connection.fetch(queries) if queries else []
    return {row["oid"]: True for row in rows}
