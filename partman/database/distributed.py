"""Whether Citus distributes tables of the database over other nodes, and whether partman did so.

On the coordinator such a table looks like any other one and is empty: its rows, and the policies
that guard them, are on other nodes. So a database that ``partman distribute`` did not make is
refused, because what is said of it would be wrong.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database.bookkeeping import DISTRIBUTION
from partman.errors import DistributedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LIST = "pg_catalog.pg_dist_partition"
HAS_CITUS = f"pg_catalog.to_regclass('{_LIST}') IS NOT NULL"
"""SQL: whether the database has Citus's list of distributed tables."""
ROWS_ELSEWHERE = "(partmethod <> 'n' OR repmodel = 't')"
"""SQL: whether the rows of a table in that list are not, or not only, on the coordinator."""
_NAME = """CASE n.nspname WHEN 'public' THEN '' ELSE pg_catalog.format('%I.', n.nspname) END
    || pg_catalog.format('%I', c.relname) AS name"""
_FROM = f"""
FROM {_LIST} p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY name
"""
_TABLES = f"SELECT {_NAME}{_FROM}"
_HAS_RECORD = f"{HAS_CITUS} AND pg_catalog.to_regclass('public.{DISTRIBUTION}') IS NOT NULL"
_PARTS = f"""
SELECT {_NAME}, p.partmethod::text AS method, p.repmodel::text AS model,
    p.colocationid AS colocation,
    pg_catalog.column_to_column_name(p.logicalrelid, p.partkey) AS column{_FROM}
"""
_NAMED = 5
"""How many tables a message names."""


@dataclass(frozen=True)
class Distribution:
    """How ``partman distribute`` has divided a database. Names are as in SQL."""

    column: str
    """The column that says on which node a row is: the tenant's."""
    tables: tuple[str, ...]
    """The tables that are divided by it. Rows of one tenant are on one node."""
    everywhere: tuple[str, ...]
    """Reference tables: every node has all rows."""
    local: tuple[str, ...]
    """Tables of the coordinator that Citus knows, because they refer to a reference table."""


async def distribution(connection: "Connection[Record]") -> Distribution | None:
    """Return how ``partman distribute`` has divided the database; None for a single server.

    Also None if something else has distributed tables: see refuse_distributed(). Needs no
    privilege, and works with the application's login.
    """
    if not await connection.fetchval(f"SELECT {_HAS_RECORD}"):
        return None
    rows = await connection.fetch(_PARTS)
    divided = [row for row in rows if row["method"] == "h"]
    if len({(row["colocation"], row["column"]) for row in divided}) != 1:
        return None
    others = [row for row in rows if row["method"] == "n"]
    if len(divided) + len(others) != len(rows):
        return None
    return Distribution(
        divided[0]["column"],
        tuple(row["name"] for row in divided),
        tuple(row["name"] for row in others if row["model"] == "t"),
        tuple(row["name"] for row in others if row["model"] != "t"),
    )


async def own_distribution(
    connection: "Connection[Record]", outcome: str = "Nothing was done"
) -> Distribution | None:
    """As distribution(); raises DistributedError if something else has distributed tables."""
    tables = await distributed_tables(connection)
    if not tables:
        return None
    if (found := await distribution(connection)) is None:
        raise DistributedError(f"{described(tables)} {outcome}. {REMEDY}")
    return found


async def distributed_tables(connection: "Connection[Record]") -> list[str]:
    """Return the names of the tables that Citus distributes, or copies to every node."""
    if not await connection.fetchval(f"SELECT {HAS_CITUS}"):
        return []
    rows = await connection.fetch(_TABLES)
    return [row["name"] for row in rows]


async def refuse_distributed(
    connection: "Connection[Record]",
    outcome: str = "Nothing was done",
    instead: str = "Bring it back to one server first: partman undistribute",
) -> None:
    """Raise DistributedError if Citus distributes a table of the database.

    ``instead`` is what to do where ``partman distribute`` has done that.
    """
    if await own_distribution(connection, outcome) is not None:
        raise DistributedError(
            f"partman distribute has divided this database over several nodes, and this works on "
            f"a single server only. {outcome}. {instead}."
        )


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
