"""The cells and attacks of tests/isolation on a cluster: over the coordinator, and on shards.

The coordinator reaches the nodes over connections of each role. What one of them has changed, the
others see when it is committed: so each statement is, and the rows are put back.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from partman.isolation.logins import let_log_in
from tests.distributed.cluster import Cluster, Node
from tests.isolation.cells import Cell, Way
from tests.isolation.conftest import ENTER, Populated
from tests.isolation.matrix import Matrix, allows
from tests.isolation.rows import OWN, World, values
from tests.isolation.tables import Connection
from tests.support import execute, migrate, run

UNSUPPORTED = frozenset({"0A000", "42P10", "XX000"})
"""What Citus has no plan for, which it also says as XX000; and ON CONFLICT by a key that has the
tenant in front here."""
SETTINGS = {"citus.propagate_set_commands": "local"}
ON_A_NODE = (
    "SET citus.enable_manual_changes_to_shards = on",
    "SET citus.enable_ddl_propagation = off",
    "SET citus.override_table_visibility = off",
)
"""What lets a superuser work on shards as on tables."""
SHARD = """
SELECT p.shardid, n.nodeport AS port
FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
WHERE p.shardid = get_shard_id_for_distribution_column('partners', $1::uuid)
"""
NAMES = """
SELECT format('public.%I', l.logicalrelid::text) AS table,
    format('public.%I', shard_name(l.logicalrelid, CASE p.partmethod
        WHEN 'h' THEN get_shard_id_for_distribution_column(l.logicalrelid, $1::uuid)
        ELSE l.shardid END)) AS shard
FROM (SELECT logicalrelid, min(shardid) AS shardid FROM pg_dist_shard GROUP BY 1) l
JOIN pg_dist_partition p USING (logicalrelid)
WHERE p.partmethod = 'h' OR p.repmodel = 't'
"""


class ClusterMatrix(Matrix):
    """The cells over the coordinator, each in a transaction of its own that is committed."""

    def __init__(self, world: World, made: list[Cell], rows: dict[UUID, str]) -> None:
        super().__init__(world, made, rows)
        self.unsupported: Counter[str] = Counter()
        """The operations that are refused although the rule allows them, or in other words."""

    async def put_back(self, connection: Connection, tenant: UUID) -> None:
        """Give a tenant its rows again, if they have changed."""
        if await self.others_are_unchanged(connection, self.world.the_other(tenant)):
            return
        async with connection.transaction():
            await connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
            await connection.execute(f"DELETE FROM organizations WHERE id = '{tenant}'")
            for table in self.world.tables:
                for row in self.world.rows[table.name, tenant]:
                    await connection.execute(f"INSERT INTO {table.name} {values(row)}")
        assert await self.others_are_unchanged(connection, self.world.the_other(tenant))

    async def _enter(self, connection: Connection, cell: Cell) -> None:
        for statement in ("BEGIN", f"SET LOCAL ROLE {cell.role}", self.setting_of(cell)):
            if statement:
                await connection.execute(statement)

    async def _leave(self, connection: Connection) -> None:
        await connection.execute("COMMIT")

    async def _undo(self, connection: Connection, cell: Cell) -> None:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        elif not cell.sql.startswith(("SELECT", "COPY")):
            await self.put_back(connection, self.tenant_of(cell))

    def _refused(self, cell: Cell, error: asyncpg.PostgresError) -> str:
        # Citus copies a table outside of the transaction, so without its tenant and its role.
        is_unsupported = error.sqlstate in UNSUPPORTED or cell.way is Way.COPY_TO
        if is_unsupported and not allows(cell.expected, error.sqlstate):
            self.unsupported[cell.operation] += 1
            return ""
        return super()._refused(cell, error)


@dataclass(frozen=True)
class ClusterPopulated(Populated):
    """A distributed database with two tenants."""

    @asynccontextmanager
    async def as_tenant(self, tenant: UUID) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(
            self.database.url, server_settings={**self.settings}, statement_cache_size=0
        )
        try:
            matrix = await ClusterMatrix.create(connection, self.world, with_cells=False)
            for statement in ENTER:
                await connection.execute(statement.format(tenant))
            yield connection
            await connection.execute("COMMIT")
            assert await matrix.others_are_unchanged(connection, tenant)
            await matrix.put_back(connection, tenant)
        finally:
            await connection.close()


def ready(made: Cluster) -> None:
    """Distribute a migrated database, and let the application's roles log in, as a deployment."""
    migrate(made.database)
    ended = run("partman", "distribute", environment=made.database.environment)
    assert ended.code == 0, ended.output
    execute(made.database.url, let_log_in("partman_api"), let_log_in("partman_console"))


async def populate(made: Cluster, *, on_one_shard: bool, first: int) -> World:
    """Create two tenants whose rows are in the same shards, or on different nodes."""
    connection = await asyncpg.connect(made.database.url)
    try:
        own = UUID(int=OWN.int + 100 * first)
        [is_at] = await connection.fetch(SHARD, own)
        for number in range(1, 1000):
            other = UUID(int=own.int + number)
            [is_there] = await connection.fetch(SHARD, other)
            same = is_there == is_at if on_one_shard else is_there["port"] != is_at["port"]
            if same:
                return await World.create(connection, (own, other), first)
    finally:
        await connection.close()
    raise AssertionError("no such tenant")


async def at_their_shards(made: Cluster, world: World) -> tuple[Node, World]:
    """Return the node that has the tenants, and the rows as they are in its shards."""
    connection = await asyncpg.connect(made.database.url)
    try:
        [at] = await connection.fetch(SHARD, world.own)
        names = {row["table"]: row["shard"] for row in await connection.fetch(NAMES, world.own)}
    finally:
        await connection.close()
    [node] = [node for node in made.nodes if f":{at['port']}/" in node.url]
    return node, world.under(names)


@asynccontextmanager
async def undone_on(node: Node, settings: Iterable[str] = ON_A_NODE) -> AsyncIterator[Connection]:
    """A superuser's connection to a node, whose changes are rolled back."""
    connection = await asyncpg.connect(node.url, statement_cache_size=0)
    try:
        for statement in settings:
            await connection.execute(statement)
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()
    finally:
        await connection.close()
