"""Runs a query inside ``tenant()`` and, in turn, with its own condition and no row security.

They run in one server process, and in a transaction that is rolled back; entering and leaving it
is not part of what is measured.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import median, quantiles
from typing import Any

from benchmarks.server import Server
from benchmarks.tenants.backend import Backend, backend
from benchmarks.tenants.data import Data, Tenant
from benchmarks.tenants.queries import Arguments, Known, Query, known
from partman.tables.isolation import APP, SETTING

_MOST = 2_000
_SHORT = 0.001
"""Seconds; a query that takes less is more easily disturbed, so it gets more samples."""


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    sample: float
    """Seconds of CPU time that a sample should take at least: short queries run many times.

    With none, each runs once, just to see that it does.
    """

    @property
    def warm(self) -> int:
        """Executions before the first sample; the server decides about its plan after five."""
        return 7 if self.sample else 1


@dataclass
class Measured:
    """What one side of a comparison cost. Times are in seconds of CPU, for one execution."""

    times: list[float] = field(default_factory=list)
    plan: str = ""
    kept: bool = False
    """Whether the server keeps that plan for all arguments, and does not plan each time."""

    @property
    def cpu(self) -> float:
        """The median of all samples."""
        return median(self.times)


@dataclass(frozen=True)
class Comparison:
    """One query for one tenant, both ways."""

    query: Query
    tenant: Tenant
    explicit: Measured
    isolated: Measured
    inherited: Measured
    """Like ``isolated``, on a connection where another tenant has used the query before."""

    @property
    def ratio(self) -> float:
        """How many times the CPU time it takes inside ``tenant()``."""
        return self.isolated.cpu / self.explicit.cpu

    @property
    def spread(self) -> float:
        """The distance between the quartiles of the ratios of neighbouring samples."""
        pairs = zip(self.isolated.times, self.explicit.times, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        first, _, third = quantiles(ratios * 2, n=4)  # twice: there may be just one
        return third - first


class Side:
    """A prepared query, its arguments, and the transaction that it runs in."""

    def __init__(
        self, process: Backend, begin: str, statement: Any, arguments: Callable[[int], Arguments]
    ) -> None:
        self._process = process
        self.begin = begin
        self._statement = statement
        self.arguments = arguments
        self._calls = count()
        self.measured = Measured()

    async def run(self, times: int) -> float:
        """Return the CPU time of one execution, after one more in the same transaction."""
        async with self._transaction():
            await self._execute()
            before = self._process.cpu()
            for _ in range(times):
                await self._execute()
            return (self._process.cpu() - before) / times

    async def result(self) -> tuple[str, list[tuple[Any, ...]]]:
        """Return what it did and the rows that it gave."""
        async with self._transaction():
            rows = await self._statement.fetch(*self.arguments(0))
            return self._statement.get_statusmsg(), sorted(map(tuple, rows), key=repr)

    async def explain(self) -> None:
        """Note the plan that it has arrived at."""
        async with self._transaction():
            arguments = self.arguments(next(self._calls))
            self.measured.plan = await self._process.plan(self._statement, arguments)
            self.measured.kept = await self._process.keeps_plan(self._statement)

    def go_on_as(self, other: "Side") -> None:
        """Run for another's tenant from now on, with the plan that there is."""
        self.begin, self.arguments = other.begin, other.arguments

    async def _execute(self) -> None:
        await self._statement.fetch(*self.arguments(next(self._calls)))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        connection = self._process.connection
        await connection.execute(self.begin)
        try:
            yield
        finally:
            await connection.execute("ROLLBACK")


def entering(tenant: Tenant) -> str:
    """Return what ``tenant()`` sends when it is entered."""
    return f"BEGIN; SET LOCAL ROLE {APP}; SET LOCAL {SETTING} = '{tenant.id}'"


def compare(
    server: Server,
    data: Data,
    tenant: Tenant,
    queries: Sequence[Query],
    effort: Effort,
    **settings: str,
) -> list[Comparison]:
    """Run each query both ways in turn, with settings of the session."""
    what = known(server, data, tenant)
    [other] = [known(server, data, another) for another in data.tenants if another != tenant]

    async def one(query: Query) -> Comparison:
        print(f"\r{tenant.name}: {query.name:<70}", end="", file=sys.stderr, flush=True)
        async with backend(server, data.database, **settings) as process:
            return await _compare(process, what, other, query, effort)

    compared = [asyncio.run(one(query)) for query in queries]
    print(file=sys.stderr)
    return compared


async def _compare(
    process: Backend, what: Known, other: Known, query: Query, effort: Effort
) -> Comparison:
    explicit = await _explicit(process, what, query)
    isolated = await _isolated(process, what, query)
    inherited = await _isolated(process, other, query)
    await _check_same(query, explicit, isolated)
    await inherited.run(effort.warm)
    inherited.go_on_as(isolated)
    await explicit.run(effort.warm)
    cost = await isolated.run(effort.warm)
    times = max(1, min(_MOST, round(effort.sample / cost)))
    sides = [explicit, isolated, inherited]
    for _ in range(effort.rounds if cost > _SHORT else 3 * effort.rounds):
        for side in sides:
            side.measured.times.append(await side.run(times))
        sides.reverse()  # who goes first takes turns, too
    for side in (explicit, isolated):
        await side.explain()
    if query.writes:
        await process.connection.execute("VACUUM opportunities")
    return Comparison(query, what.tenant, explicit.measured, isolated.measured, inherited.measured)


async def _check_same(query: Query, explicit: Side, isolated: Side) -> None:
    if await explicit.result() != await isolated.result():
        raise RuntimeError(f"{query.name}: not the same inside tenant() as with its own condition")


async def _explicit(process: Backend, what: Known, query: Query) -> Side:
    """Return the query with its own condition."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        # An INSERT gives it as a value, first; the others compare with it, last.
        return (organization, *given) if query.inserts else (*given, organization)

    return Side(process, "BEGIN", await process.connection.prepare(query.explicit), arguments)


async def _isolated(process: Backend, what: Known, query: Query) -> Side:
    """Return the query inside ``tenant()``."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        return (organization, *given) if query.inserts else given

    statement = await process.connection.prepare(query.isolated)
    return Side(process, entering(what.tenant), statement, arguments)
