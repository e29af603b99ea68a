"""The cells of tests/isolation on a cluster: over the coordinator, and directly on the shards."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from tests.distributed.cluster import Cluster, cluster
from tests.distributed.isolated import (
    SETTINGS,
    ClusterMatrix,
    at_their_shards,
    populate,
    ready,
    undone_on,
)
from tests.isolation import mutants, server_mutants
from tests.isolation.matrix import Matrix
from tests.isolation.mutants import Kind, Mutant
from tests.isolation.rows import World
from tests.isolation.tables import Connection
from tests.summary import Record, count

KINDS = (*mutants.KINDS, *server_mutants.KINDS)
NOT_ON_A_CLUSTER = {
    # Of all shards: within tenant() a query names the tenant, and may lock.
    "select for update",
    "copy to",
    # With a source that is no tenant table.
    "merge update", "merge delete", "merge insert",
    # Citus says first that the column that divides the table is not changed.
    "move to another tenant", "move on conflict",
}  # fmt: skip
"""The operations that Citus refuses in other words than the rule's."""
NOT_OF_A_SHARD = {
    "restrictive policies made permissive",
    "policies that look the other way when there is no tenant",
}
"""Kinds of which a node has none: Citus has lost the word there."""
SHOWN_BY_THE_CELLS = {
    "policies' USING made true", "policies' WITH CHECK made true", "policies for others",
    "row level security off", "rights to tables", "rights to columns",
    "rights to columns made rights to the table", "references dropped",
    "keys that references need", "tables owned by the application",
}  # fmt: skip
"""Kinds of which some mutants at least make a cell fail; the comparison of the nodes finds all."""
FIRST = {"in one shard": 1000, "on two nodes": 2000}


@pytest.fixture(scope="module")
def filled() -> Iterator[Cluster]:
    with cluster() as made:
        ready(made)
        yield made


@pytest.fixture(scope="module")
def worlds(filled: Cluster) -> dict[str, World]:
    return {
        where: asyncio.run(populate(filled, on_one_shard=where == "in one shard", first=first))
        for where, first in FIRST.items()
    }


@pytest.mark.parametrize("where", FIRST)
async def test_every_cell_over_the_coordinator(
    filled: Cluster, worlds: dict[str, World], where: str, record_property: Record
) -> None:
    connection = await asyncpg.connect(
        filled.database.url, server_settings=SETTINGS, statement_cache_size=0
    )
    try:
        matrix = await ClusterMatrix.create(connection, worlds[where])
        failures = await matrix.failures(connection)
    finally:
        await connection.close()
    assert not failures, "\n".join(["", *map(str, failures)])
    assert set(matrix.unsupported) == NOT_ON_A_CLUSTER, matrix.unsupported
    count(record_property, cells=len(matrix.cells), leaks=0)


async def test_every_cell_directly_on_their_shards(
    filled: Cluster, worlds: dict[str, World], record_property: Record
) -> None:
    node, world = await at_their_shards(filled, worlds["in one shard"])
    async with undone_on(node) as connection:
        matrix = await Matrix.create(connection, world)
        failures = await matrix.failures(connection)
    assert not failures, "\n".join(["", *map(str, failures)])
    assert len(matrix.cells) > 2000
    count(record_property, cells=len(matrix.cells), leaks=0)


async def test_the_cells_of_a_shard_show_what_is_taken_away_there(
    filled: Cluster, worlds: dict[str, World], record_property: Record
) -> None:
    """So the cells above are no empty promise. The nodes' comparison is in test_mutants.py."""
    node, world = await at_their_shards(filled, worlds["in one shard"])
    shards = {table.name for table in world.tables}
    shown: Counter[str] = Counter()
    async with undone_on(node) as connection:
        matrix = await Matrix.create(connection, world)
        for kind in KINDS:
            for mutant in await on_shards(kind, connection, shards):
                await connection.execute("SAVEPOINT mutant")
                with suppress(asyncpg.InvalidForeignKeyError):  # its key has the tenant in front
                    await connection.execute(mutant.sql)
                    tables = {str(mutant.table)}
                    if await matrix.failures(connection, tables, all_of_them=False):
                        shown[kind.name] += 1
                await connection.execute("ROLLBACK TO mutant; RELEASE mutant")
    assert shown.keys() >= SHOWN_BY_THE_CELLS
    count(record_property, mutants_killed=shown.total())


async def on_shards(kind: Kind, connection: Connection, shards: set[str]) -> list[Mutant]:
    """Return the mutants of the shards, of which each has a table."""
    made = await kind.mutants(connection) if kind.name not in NOT_OF_A_SHARD else []
    return [mutant for mutant in made if mutant.table in shards]
