"""Between which migrations a database stands, told by everything in it and not by its ledger."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import asyncpg

from partman.catalog.model import Table
from partman.catalog.read import read_catalog
from tests.catalog import Connection, written
from tests.faults.processes import DEADLINE

_OTHERS = """
    SELECT pid, 'connected' FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type LIKE 'client%'
    UNION ALL
    SELECT pid, 'holds an advisory lock' FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Sessions, and the locks that they would leave behind."""


@dataclass(frozen=True)
class Contents:
    """What the migrations make: the schema, and how many rows there are of what."""

    catalog: frozenset[str]
    rows: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class State:
    """What ledger and history say of a database."""

    ledger: tuple[str, ...]
    history: tuple[tuple[str, str, str], ...]
    """Migration, direction and outcome of each run."""
    bookkeeping: tuple[bool, bool]
    """Whether there is a ledger, and a history."""
    is_interrupted: bool
    """Whether an online migration is half-way, and recorded as such."""

    @property
    def recorded(self) -> set[str]:
        """The migrations whose last completed run went forwards."""
        last = {name: direction for name, direction, outcome in self.history if outcome == "done"}
        return {name for name, direction in last.items() if direction == "forwards"}


@dataclass(frozen=True)
class WholeState(State):
    """And what it contains."""

    contents: Contents


def state(url: str) -> State:
    """Read it as soon as the server has noticed that nobody else is connected any more."""

    async def read() -> State:
        async with alone(url) as connection:
            return State(**await _recorded(connection))

    return asyncio.run(read())


def whole_state(url: str) -> WholeState:
    """Do the same with the contents, which takes the server much longer."""
    with observing(url) as observed:
        return observed()


@contextmanager
def observing(url: str) -> Iterator[Callable[[], WholeState]]:
    """Yield a function that does what whole_state() does, again and again over one connection."""
    with asyncio.Runner() as runner, ExitStack() as last:
        connection = runner.run(asyncpg.connect(url, max_cacheable_statement_size=0))
        last.callback(lambda: runner.run(connection.close()))

        async def read() -> WholeState:
            await _wait_for_the_others(connection)
            return WholeState(**await _recorded(connection), contents=await _contents(connection))

        yield lambda: runner.run(read())


@asynccontextmanager
async def alone(url: str) -> AsyncIterator[Connection]:
    """Connect, and go on as soon as the server has noticed that nobody else is connected."""
    connection = await asyncpg.connect(url)
    try:
        await _wait_for_the_others(connection)
        yield connection
    finally:
        await connection.close()


async def _wait_for_the_others(connection: Connection) -> None:
    deadline = time.monotonic() + DEADLINE
    while others := await connection.fetch(_OTHERS):
        assert time.monotonic() < deadline, f"still there: {others}"
        await asyncio.sleep(0.005)


async def _recorded(connection: Connection) -> dict[str, Any]:
    """Return the fields of a State."""
    ledger = history = None
    steps = 0
    if await connection.fetchval("SELECT to_regclass('migration')"):
        ledger = await connection.fetch("SELECT name FROM migration ORDER BY name")
    if await connection.fetchval("SELECT to_regclass('migration_history')"):
        history = await connection.fetch(
            "SELECT migration, direction, outcome FROM migration_history ORDER BY id"
        )
    if await connection.fetchval("SELECT to_regclass('migration_step')"):
        steps = await connection.fetchval("SELECT count(*) FROM migration_step")
    return {
        "ledger": tuple(row["name"] for row in ledger or ()),
        "history": tuple(
            (row["migration"], row["direction"], row["outcome"]) for row in history or ()
        ),
        "bookkeeping": (ledger is not None, history is not None),
        "is_interrupted": steps > 0,
    }


async def _contents(connection: Connection) -> Contents:
    catalog = await read_catalog(connection)
    tables = [table.name for table in catalog.of(Table)]
    counts = [(name, await connection.fetchval(f"SELECT count(*) FROM {name}")) for name in tables]
    return Contents(written(catalog), tuple(counts))


@dataclass(frozen=True)
class Boundaries:
    """What a database contains after no migration, after the first, after the second, …"""

    contents: dict[tuple[str, ...], Contents]

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what ``written()`` has written."""
        return cls(
            {
                tuple(ledger): Contents(frozenset(catalog), tuple(map(tuple, rows)))
                for ledger, catalog, rows in json.loads(text)
            }
        )

    def written(self) -> str:
        """Return it as text, for other workers."""
        return json.dumps(
            [(ledger, [*each.catalog], each.rows) for ledger, each in self.contents.items()]
        )

    def verdict(self, found: WholeState) -> str:
        """Say what is wrong with a database; nothing if it stands exactly at a boundary.

        Nor if it has left one by some recorded steps of an online migration.
        """
        expected = self.contents.get(found.ledger)
        if expected is None:
            return f"the ledger is {found.ledger}"
        if found.recorded != set(found.ledger):
            return f"the history says {found.recorded}, the ledger {found.ledger}"
        if found.is_interrupted:
            return ""
        if found.contents.rows != expected.rows:
            return f"{found.ledger}: the rows are {found.contents.rows}, not {expected.rows}"
        if difference := found.contents.catalog ^ expected.catalog:
            return f"{found.ledger}: the catalog differs in {sorted(difference)[:5]}"
        return ""

    @property
    def first(self) -> tuple[str, ...]:
        return min(self.contents, key=len)

    @property
    def last(self) -> tuple[str, ...]:
        return max(self.contents, key=len)
