"""Compare a query inside ``tenant()`` with the same query with its own condition.

Both run alternately in one server process, in a transaction that is rolled back. Beginning and
ending the transaction is not measured. Other work on the machine makes both slower, so neighbouring
samples are compared; and one process may be faster than the next, so there are several.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import median
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
_PAIRS, _PAIRS_OF_SHORT = 3, 21
"""Samples of each side in a server process."""


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    """Server processes, one after the other, of which each measures everything."""
    sample: float
    """Minimum CPU seconds of a sample: short queries run many times.

    With 0, each query runs once, to check that it works.
    """

    @property
    def warm(self) -> int:
        """Executions before the first sample. The server chooses a generic plan after five."""
        return 7 if self.sample else 1

    def pairs(self, cost: float) -> int:
        """Return how many samples each side of a comparison gets in a process."""
        if not self.sample:
            return 1
        return _PAIRS_OF_SHORT if cost < _SHORT else _PAIRS


@dataclass
class Measured:
    """The cost of one side of a comparison, in CPU seconds per execution."""

    times: list[list[float]] = field(default_factory=list)
    """The samples of each server process."""
    plan: str = ""
    lossy: int = 0
    """Pages that a bitmap had no memory for the rows of."""
    kept: bool = False
    """Whether the server uses a generic plan."""

    @property
    def cpu(self) -> float:
        """The median of the processes' medians."""
        return median(map(median, self.times))


@dataclass(frozen=True)
class Comparison:
    """One query for one tenant, both ways."""

    query: Query
    tenant: Tenant
    explicit: Measured = field(default_factory=Measured)
    isolated: Measured = field(default_factory=Measured)
    inherited: Measured = field(default_factory=Measured)
    """Like ``isolated``, on a connection where another tenant has used the query before."""

    @property
    def ratios(self) -> list[float]:
        """What each server process has found, in order of size."""
        return sorted(map(paired_ratio, self.isolated.times, self.explicit.times))

    @property
    def ratio(self) -> float:
        """The CPU time inside ``tenant()``, divided by that with an explicit condition."""
        return median(self.ratios)


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of samples that were taken one after the other."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


class Side:
    """A prepared query, its arguments, and the transaction that it runs in."""

    def __init__(
        self,
        process: Backend,
        begin: str,
        statement: Any,
        arguments: Callable[[int], Arguments],
        measured: Measured,
    ) -> None:
        self._process = process
        self.begin = begin
        self._statement = statement
        self.arguments = arguments
        self._calls = count()
        self.measured = measured
        self.times: list[float] = []
        measured.times.append(self.times)

    async def run(self, times: int) -> float:
        """Return the CPU time of one execution, of many after one more in the transaction."""
        async with self._transaction():
            if times > 1:
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
        comparison = Comparison(query, tenant)
        for _ in range(effort.rounds):
            async with backend(server, data.database, **settings) as process:
                await _compare(process, what, other, comparison, effort)
        return comparison

    compared = [asyncio.run(compare_query(query)) for query in queries]
    print(file=sys.stderr)
    return compared


async def _compare(
    process: Backend, what: Known, other: Known, comparison: Comparison, effort: Effort
) -> None:
    query = comparison.query
    explicit = await _explicit(process, what, query, comparison.explicit)
    isolated = await _isolated(process, what, query, comparison.isolated)
    inherited = await _isolated(process, other, query, comparison.inherited)
    await _check_same(query, explicit, isolated)
    await inherited.run(effort.warm)
    inherited.switch_to_tenant_of(isolated)
    await explicit.run(effort.warm)
    cost = await isolated.run(effort.warm)
    times = max(1, min(_MOST, round(effort.sample / cost)))
    sides = [explicit, isolated, inherited]
    for _ in range(effort.pairs(cost)):
        for side in sides:
            side.times.append(await side.run(times))
        sides.reverse()  # so that each side comes first equally often
    for side in (explicit, isolated):
        await side.explain()
    if query.writes:
        await process.connection.execute("VACUUM opportunities")


async def _check_same(query: Query, explicit: Side, isolated: Side) -> None:
    if await explicit.result() != await isolated.result():
        raise RuntimeError(
            f"{query.name}: tenant() and the explicit condition give different results"
        )


async def _explicit(process: Backend, what: Known, query: Query, measured: Measured) -> Side:
    """Return the query with its own condition."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        # The organization is the first argument of an INSERT, and the last one of other queries.
        return (organization, *given) if query.inserts else (*given, organization)

    statement = await process.connection.prepare(query.explicit)
    return Side(process, "BEGIN", statement, arguments, measured)


async def _isolated(process: Backend, what: Known, query: Query, measured: Measured) -> Side:
    """Return the query inside ``tenant()``."""
    organization = what.tenant.id

    def arguments(number: int) -> Arguments:
        given = query.arguments(what, number)
        return (organization, *given) if query.inserts else given

    statement = await process.connection.prepare(query.isolated)
    return Side(process, beginning(TENANCY, what.tenant.id), statement, arguments, measured)
