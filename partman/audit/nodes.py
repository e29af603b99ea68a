"""The other nodes of a distributed database: rows are guarded by the policies that are there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from partman.audit.rule import Gap
from partman.catalog.node_tables import NodeDifference, node_differences
from partman.database.distributed import ROWS_ELSEWHERE

if TYPE_CHECKING:
    from asyncpg import Connection, Record

NODES = "nodes"
"""What the gaps are called. It is no rule, which is one query: a distributed database is asked it
in addition to the rules."""

_OPENED = f"""
SELECT p.polname, p.polrelid::regclass::text AS of_table
FROM pg_policy p JOIN pg_dist_partition d ON d.logicalrelid = p.polrelid
WHERE NOT p.polpermissive AND {ROWS_ELSEWHERE} AND NOT EXISTS (
    SELECT FROM pg_policy o
    WHERE o.polrelid = p.polrelid AND o.polpermissive AND o.polcmd IN ('*', p.polcmd)
        AND o.polroles @> p.polroles
        AND pg_get_expr(o.polqual, o.polrelid) = pg_get_expr(p.polqual, p.polrelid)
        AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid))
            = coalesce(pg_get_expr(o.polwithcheck, o.polrelid), pg_get_expr(o.polqual, o.polrelid))
) ORDER BY 2, 1
"""


async def node_gaps(connection: "Connection[Record]") -> list[Gap]:
    """Return what keeps the nodes of a distributed database from isolating its tenants.

    Citus loses the word RESTRICTIVE of a policy there, so that one with another condition opens.
    Raises asyncpg.InsufficientPrivilegeError for a role that may not send commands to the nodes.
    """
    opened = await connection.fetch(_OPENED)
    return [
        *(_opened(row["polname"], row["of_table"]) for row in opened),
        *_differing(await node_differences(connection)),
    ]


def _opened(policy: str, table: str) -> Gap:
    return Gap(
        NODES,
        f"{policy} ON {table}",
        "The nodes have this policy as a permissive one: it shows the rows of its own condition, "
        "too.",
        f"DROP POLICY {policy} ON {table};",
    )


def _differing(differences: tuple[NodeDifference, ...]) -> Iterator[Gap]:
    for each in differences:
        lines = [
            *(f"-- missing: {line}" for line in each.expected),
            *(f"-- extra: {line}" for line in each.found),
        ]
        yield Gap(
            NODES,
            f"{each.object} at {each.node}",
            f"Its {each.attribute} differs from the coordinator's."
            if each.object != "PUBLIC"
            else "PUBLIC may call what could choose a tenant.",
            "\n".join(["-- Correct it on that node, as a superuser.", *lines]),
            tables=each.tables,
        )
