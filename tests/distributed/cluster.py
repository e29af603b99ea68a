"""Databases on a cluster: a coordinator with two workers, which PARTMAN_TEST_CITUS_URL names."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.summary import CITUS_VARIABLE
from tests.support import Database, as_role, fetch, with_database

TABLES = ("organizations", "users", "partners", "opportunities", "quarterly_goals", "alerts")
LOCAL = ("console_accounts", "console_sessions")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    url: str
    """Of the test's database, as superuser."""
    is_coordinator: bool

    def as_role(self, role: str) -> str:
        return as_role(self.url, role)


@dataclass(frozen=True)
class Cluster:
    """A database on all nodes, as a cluster of its own."""

    database: Database
    nodes: tuple[Node, ...]

    def contents(self) -> dict[str, str]:
        """Return a digest of the rows of each table."""
        return asyncio.run(_contents(self.database.url))

    def prepared(self) -> list[str]:
        """Return what two-phase commits have left, on any node."""
        found = [
            asyncio.run(fetch(node.url, "SELECT gid FROM pg_prepared_xacts WHERE database = "
                              "current_database()"))
            for node in self.nodes
        ]  # fmt: skip
        return [row["gid"] for rows in found for row in rows]


async def _contents(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        return {
            table: await connection.fetchval(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ';' ORDER BY t::text)),"
                f" '') FROM {table} t"
            )
            for table in (*TABLES, *LOCAL)
        }
    finally:
        await connection.close()


@contextmanager
def cluster(before: Callable[[Database], None] | None = None) -> Iterator[Cluster]:
    """Create a database on all nodes for the duration of a block.

    ``before`` is called with the coordinator's before it knows anything of Citus.
    """
    first = os.environ[CITUS_VARIABLE]
    name = f"partman_{os.getpid()}_{next(_numbers)}"
    nodes = asyncio.run(_create(first, name, before))
    try:
        yield Cluster(Database(nodes[0].url), nodes)
    finally:
        asyncio.run(_drop(nodes, name))


async def _create(
    first: str, name: str, before: Callable[[Database], None] | None
) -> tuple[Node, ...]:
    found = await fetch(
        first,
        "SELECT nodename, nodeport, groupid = 0 AS is_coordinator FROM pg_dist_node"
        " ORDER BY groupid <> 0, nodeid",
    )
    nodes = []
    for row in found:
        url = _at(first, row["nodename"], row["nodeport"])
        await _run(url, f"CREATE DATABASE {name}")
        own = with_database(url, name)
        if row["is_coordinator"] and before is not None:
            await asyncio.to_thread(before, Database(own))
        await _run(own, "CREATE EXTENSION citus")
        nodes.append(Node(own, row["is_coordinator"]))
    coordinator = await asyncpg.connect(nodes[0].url)
    try:
        for row in found:
            function = "citus_set_coordinator_host" if row["is_coordinator"] else "citus_add_node"
            await coordinator.execute(f"SELECT {function}('{row['nodename']}', {row['nodeport']})")
    finally:
        await coordinator.close()
    assert nodes[0].is_coordinator
    assert len(nodes) == 3, "a coordinator, in its own metadata, and two workers"
    return tuple(nodes)


async def _drop(nodes: tuple[Node, ...], name: str) -> None:
    for node in nodes:
        await _run(with_database(node.url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _at(url: str, host: str, port: int) -> str:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}:{port}"))
