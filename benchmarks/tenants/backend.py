"""Measure the CPU time of one server process.

Linux only: ``schedstat`` counts a process's CPU time in nanoseconds, ``stat`` in steps of 10 ms. It
is exact while the process sleeps, as it does after it has answered.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.server import Server

_SETTINGS = {
    # The CPU time of parallel workers would not be counted.
    "max_parallel_workers_per_gather": "0",
    # No query may be cancelled while it is measured.
    "statement_timeout": "0",
}


@dataclass(frozen=True)
class Executed:
    """A plan, as it was executed."""

    shape: str
    """Its nodes, in one line."""
    lossy: int
    """Pages that a bitmap had no memory for the rows of: each row of them is compared again."""


class Backend:
    """A connection and the server process behind it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._pid: int = connection.get_server_pid()

    def cpu(self) -> float:
        """Return the CPU seconds of the process, user and system."""
        return cpu_of(self._pid)

    async def plan(self, statement: Any, arguments: tuple[Any, ...]) -> Executed:
        """Execute a prepared statement once more, and return its plan."""
        values = ", ".join(map(_literal, arguments))
        execute = f"EXECUTE {statement.get_name()}" + (f" ({values})" if arguments else "")
        rows = await self.connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON, COSTS OFF) {execute}")
        plan = json.loads(rows[0][0])[0]["Plan"]
        return Executed(" ".join(_shape(plan)), _lossy(plan))

    async def keeps_plan(self, statement: Any) -> bool:
        """Return whether the server uses a generic plan for the statement."""
        sql = "SELECT generic_plans > 0 FROM pg_prepared_statements WHERE name = $1"
        return bool(await self.connection.fetchval(sql, statement.get_name()))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, user and system."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@asynccontextmanager
async def backend(
    server: Server, database: str, user: str | None = None, **settings: str
) -> AsyncIterator[Backend]:
    """Connect for the duration of a block."""
    url = server.database_url(database, user)
    connection = await asyncpg.connect(url, server_settings=_SETTINGS | settings)
    try:
        yield Backend(connection)
    finally:
        await connection.close()


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _literal("{" + ",".join(map(str, value)) + "}")
    return "'" + str(value).replace("'", "''") + "'"


def _lossy(plan: dict[str, Any]) -> int:
    pages: int = plan.get("Lossy Heap Blocks", 0)
    return pages + sum(map(_lossy, plan.get("Plans", [])))


def _shape(plan: dict[str, Any]) -> Iterator[str]:
    name = plan["Node Type"].replace(" ", "")
    on = plan.get("Index Name") or plan.get("Relation Name")
    yield f"{name}({on})" if on else name
    inner = list(chain.from_iterable(map(_shape, plan.get("Plans", []))))
    if inner:
        yield from ("[", *inner, "]") if len(plan["Plans"]) > 1 else inner
