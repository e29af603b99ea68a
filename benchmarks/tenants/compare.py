"""Compare a query inside ``tenant()`` with the same query with its own condition.

Both run alternately in one server process, in a transaction that is rolled back. Beginning and
ending the transaction is not measured.
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
from partman.tables import TENANCY
from partman.tenant.connection import beginning

_MOST = 2_000
_SHORT = 0.001
"""Seconds. A faster query gets more samples, because noise affects it more."""


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    sample: float
    """Minimum CPU seconds of a sample: short queries run many times.

    With 0, each query runs once, to check that it works.
    """

    @property
    def warm(self) -> int:
        """Executions before the first sample. The server chooses a generic plan after five."""
        return 7 if self.sample else 1


@dataclass
class Measured:
    """The cost of one side of a comparison, in CPU seconds per execution."""

    times: list[float] = field(default_factory=list)
    plan: str = ""
    lossy: int = 0
    """Pages that a bitmap had no memory for the rows of."""
    kept: bool = False
    """Whether the server uses a generic plan."""

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
        """The CPU time inside ``tenant()``, divided by that with an explicit condition."""
        return self.isolated.cpu / self.explicit.cpu

    @property
    def spread(self) -> float:
        """The distance between the quartiles of the ratios of neighbouring samples."""
        pairs = zip(self.isolated.times, self.explicit.times, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        first, _, third = quantiles(ratios * 2, n=4)  # doubled, because there may be only one
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
        """Return the command tag and the sorted rows."""
        async with self._transaction():
            rows = await self._statement.fetch(*self.arguments(0))
            return self._statement.get_statusmsg(), sorted(map(tuple, rows), key=repr)

    async def explain(self) -> None:
        """Store the plan that the server has chosen."""
        async with self._transaction():
            arguments = self.arguments(next(self._calls))
            executed = await self._process.plan(self._statement, arguments)
            self.measured.plan, self.measured.lossy = executed.shape, executed.lossy
            self.measured.kept = await self._process.keeps_plan(self._statement)

    def switch_to_tenant_of(self, other: "Side") -> None:
        """Run for the tenant of ``other`` from now on, with the existing plan."""
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


def compare(
    server: Server,
    data: Data,
    tenant: Tenant,
    queries: Sequence[Query],
    effort: Effort,
    **settings: str,
) -> list[Comparison]:
    """Compare each query, with the given session settings."""
    what = known(server, data, tenant)
    [other] = [known(server, data, another) for another in data.tenants if another != tenant]

    async def compare_query(query: Query) -> Comparison:
        print(f"\r{tenant.name}: {query.name:<70}", end="", file=sys.stderr, flush=True)
        async with backend(server, data.database, **settings) as process:
            return await _compare(process, what, other, query, effort)

    compared = [asyncio.run(compare_query(query)) for query in queries]
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
    inherited.switch_to_tenant_of(isolated)
    await explicit.run(effort.warm)
    cost = await isolated.run(effort.warm)
    times = max(1, min(_MOST, round(effort.sample / cost)))
    sides = [explicit, isolated, inherited]
    for _ in range(effort.rounds if cost > _SHORT else 3 * effort.rounds):
        for side in sides:
            side.measured.times.append(await side.run(times))
        sides.reverse()  # so that each side comes first equally often
    for side in (explicit, isolated):
        await side.explain()
    if query.writes:
        await process.connection.execute("VACUUM opportunities")
    return Comparison(query, what.tenant, explicit.measured, isolated.measured, inherited.measured)


async def _check_same(query: Query, explicit: Side, isolated: Side) -> None:
    if await explicit.result() != await isolated.result():
        raise RuntimeError(
            f"{query.name}: tenant() and the explicit condition give different results"
        )


async def _explicit(process: Backend, what: Known, query: Query) -> Side:
    """Return the query with its own condition."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        # The organization is the first argument of an INSERT, and the last one of other queries.
        return (organization, *given) if query.inserts else (*given, organization)

    return Side(process, "BEGIN", await process.connection.prepare(query.explicit), arguments)


async def _isolated(process: Backend, what: Known, query: Query) -> Side:
    """Return the query inside ``tenant()``."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        return (organization, *given) if query.inserts else given

    statement = await process.connection.prepare(query.isolated)
    return Side(process, beginning(TENANCY, what.tenant.id), statement, arguments)
