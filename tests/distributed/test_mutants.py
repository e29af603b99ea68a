"""Each protection of a distributed database is taken away: on the coordinator, and on a worker.

A mutant is made in a transaction that is rolled back. On the coordinator, Citus makes it on every
shard, or refuses it; the rules of ``partman check`` must notice, or else ``partman drift``. On a
worker nobody but the comparison of the nodes can: it is asked with the answer of that transaction.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.node_tables import node_differences
from partman.catalog.read import read_catalog
from tests.database.audit_support import PROJECT
from tests.distributed.cluster import Cluster, Node
from tests.distributed.test_drift import BY_HAND
from tests.isolation import mutants, server_mutants
from tests.isolation.mutants import Kind, Mutant
from tests.isolation.tables import Connection
from tests.summary import Record, count

KINDS = (*mutants.KINDS, *server_mutants.KINDS)
NOT_OF_A_WORKER = {
    # Citus has lost the word there.
    "restrictive policies made permissive",
    "policies that look the other way when there is no tenant",
    "indexes that references need",
    "rights by default",
    "rights to the database",
    "rights to the schema",
    "new ways to the rows",
    "rights to what the console keeps",
    "functions with their owner's rights",
    "functions of the server",
    "operators made leakproof",
    "rights to the server's catalog",
    "parameters of a superuser",
}
"""What opens nothing there: the application reaches the shards, through the coordinator alone."""
BEGIN = ("BEGIN", "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
         "SET LOCAL citus.enable_unsafe_triggers = on")  # fmt: skip


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(node.url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()


async def made(connection: Connection, kind: Kind) -> list[Mutant]:
    """Return the mutants of what is no part of Citus itself."""
    return [each for each in await kind.mutants(connection) if "citus" not in each.sql]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_each_on_the_coordinator_is_found_or_refused(
    distributed: Cluster,
    kind: Kind,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    # The nodes would wait for the locks of the mutant.
    async def silent(_: Any) -> tuple[()]:
        return ()

    monkeypatch.setattr("partman.audit.nodes.node_differences", silent)
    ended: dict[str, str] = {}
    async with connected(distributed.nodes[0]) as connection:
        gaps = {*await PROJECT.gaps(connection)}
        catalog = await read_catalog(connection, distributed=True)
        for mutant in await made(connection, kind):
            for statement in BEGIN:
                await connection.execute(statement)
            try:
                await connection.execute(mutant.sql)
                if {*await PROJECT.gaps(connection)} - gaps:
                    ended[mutant.name] = "check"
                elif compare(catalog, await read_catalog(connection, distributed=True)):
                    ended[mutant.name] = "drift"
                else:
                    ended[mutant.name] = "NOT FOUND"
            except asyncpg.PostgresError as error:
                ended[mutant.name] = f"refused: {error}"
            await connection.execute("ROLLBACK")
    assert {name: how for name, how in ended.items() if how == "NOT FOUND"} == {}
    by = Counter(how.split(":")[0] for how in ended.values())
    record_property(f"killed on a cluster: {kind.name}", str(dict(by)))
    count(record_property, mutants_killed=len(ended))


class Told:
    """The coordinator, whom one node answers from within a transaction of its own."""

    def __init__(self, answers: list[dict[str, Any]], node: Node, connection: Connection) -> None:
        self._answers, self._connection = answers, connection
        self._address = urlsplit(node.url).netloc.rpartition("@")[2]

    async def fetch(self, _: str, on_node: str) -> list[dict[str, Any]]:
        told = await self._connection.fetchval(on_node)
        return [
            {**answer, "result": told} if answer["node"] == self._address else answer
            for answer in self._answers
        ]


class Asked(Exception):  # noqa: N818
    """What the coordinator was asked."""


class Asking:
    async def fetch(self, *arguments: str) -> None:
        raise Asked(*arguments)


async def answers(coordinator: Connection) -> list[dict[str, Any]]:
    try:
        await node_differences(Asking())  # type: ignore[arg-type]
    except Asked as asked:
        return [dict(row) for row in await coordinator.fetch(*asked.args)]
    raise AssertionError("the nodes were not asked")


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.name not in NOT_OF_A_WORKER],
    ids=lambda kind: kind.name,
)
async def test_each_on_a_worker_is_found(
    distributed: Cluster, kind: Kind, record_property: Record
) -> None:
    worker = distributed.nodes[2]
    ended: dict[str, str] = {}
    async with connected(distributed.nodes[0]) as coordinator, connected(worker) as connection:
        await connection.execute(BY_HAND + "SET citus.override_table_visibility = off")
        told: Any = Told(await answers(coordinator), worker, connection)
        assert await node_differences(told) == ()
        for mutant in await made(connection, kind):
            if "console_" in mutant.sql:  # whose rows are on the coordinator
                continue
            await connection.execute("BEGIN")
            try:
                await connection.execute(mutant.sql)
                ended[mutant.name] = "found" if await node_differences(told) else "NOT FOUND"
            except asyncpg.PostgresError as error:
                ended[mutant.name] = f"refused: {error}"
            await connection.execute("ROLLBACK")
    assert {name: how for name, how in ended.items() if how == "NOT FOUND"} == {}
    count(record_property, mutants_killed=len(ended))
