"""What the server must have before a database is distributed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from partman.database.distributed import HAS_CITUS
from partman.distribution.obstacles import Obstacle
from partman.errors import DistributedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

OLDEST_CITUS = 13
"""The oldest major version that this was tried on."""

_NODES = """
SELECT format('%s:%s', nodename, nodeport) AS name, groupid, isactive FROM pg_dist_node
WHERE noderole = 'primary' ORDER BY nodeid
"""


async def obstacles_of(connection: "Connection[Record]") -> list[Obstacle]:
    """Return what the server lacks. Changes nothing."""
    if not await connection.fetchval(f"SELECT {HAS_CITUS}"):
        return [
            Obstacle(
                "citus",
                "The database does not have the extension Citus.",
                "Install it on every node, set shared_preload_libraries = 'citus', restart, and: "
                "CREATE EXTENSION citus",
            )
        ]
    return [*await _version(connection), *await _role(connection), *await _nodes(connection)]


async def _version(connection: "Connection[Record]") -> list[Obstacle]:
    version = await connection.fetchval(
        "SELECT extversion FROM pg_extension WHERE extname = 'citus'"
    )
    if int(version.partition(".")[0]) >= OLDEST_CITUS:
        return []
    return [
        Obstacle(
            "citus",
            f"The extension's version is {version}; this was tried with {OLDEST_CITUS} and newer.",
            "Upgrade it on every node, and: ALTER EXTENSION citus UPDATE",
        )
    ]


async def _role(connection: "Connection[Record]") -> list[Obstacle]:
    role = await connection.fetchrow(
        "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if role is None or role["rolsuper"]:
        return []
    return [
        Obstacle(
            role["rolname"],
            "It is no superuser, and rights on functions of Citus and of PostgreSQL are revoked.",
            "Run this command with a superuser in DATABASE_URL. Migrations stay with the owner.",
        )
    ]


async def _nodes(connection: "Connection[Record]") -> list[Obstacle]:
    nodes = await connection.fetch(_NODES)
    obstacles = [
        Obstacle(
            node["name"], "The node is not active.", f"SELECT citus_activate_node({node['name']})"
        )
        for node in nodes
        if not node["isactive"]
    ]
    if not any(node["groupid"] == 0 for node in nodes):
        obstacles.append(
            Obstacle(
                "the coordinator",
                "It is no node of its own cluster, so that its tables cannot refer to others.",
                "SELECT citus_set_coordinator_host('<its address>', <port>)",
            )
        )
    if not any(node["groupid"] != 0 for node in nodes):
        obstacles.append(
            Obstacle(
                "the cluster",
                "It has no worker.",
                "SELECT citus_add_node('<address>', <port>)",
            )
        )
    return obstacles or await _reachable(connection)


async def _reachable(connection: "Connection[Record]") -> list[Obstacle]:
    rows = await connection.fetch(
        "SELECT n.name, r.result FROM run_command_on_all_nodes("
        "'SELECT current_setting(''max_prepared_transactions'')') r"
        " JOIN (SELECT nodeid, format('%s:%s', nodename, nodeport) AS name FROM pg_dist_node) n"
        " USING (nodeid) WHERE NOT r.success OR r.result = '0'"
    )
    return [
        Obstacle(
            row["name"],
            f"It does not answer, or does not allow two-phase commit. It said: {row['result']}",
            "Let the coordinator in (pg_hba.conf, .pgpass), and set max_prepared_transactions.",
        )
        for row in rows
    ]


async def run_on_nodes(connection: "Connection[Record]", statement: str) -> None:
    """Run a statement on every node. Raises DistributedError with the first failure."""
    rows = await connection.fetch(
        "SELECT format('%s:%s', nodename, nodeport) AS name, success, result"
        " FROM run_command_on_all_nodes($1) JOIN pg_dist_node USING (nodeid)",
        statement,
    )
    failed = [row for row in rows if not row["success"]]
    if failed:
        raise DistributedError(
            f"{failed[0]['name']}: {failed[0]['result']} Nothing was distributed. Correct the "
            "node, and run the command again."
        )


def listed(obstacles: Sequence[Obstacle]) -> str:
    """Return the obstacles as sentences."""
    return " ".join(
        f"{each.object}: {each.reason} {each.remedy.rstrip('.')}." for each in obstacles
    )
