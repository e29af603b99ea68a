"""``/metrics``: what a monitoring system has to know of the database, in Prometheus' format."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import piccolo
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from partman import __version__
from partman.errors import PartmanError
from partman.migration.ledger import history
from partman.migration.ledger.history import Entry, Outcome
from partman.migration.ledger.preflight import KINDS
from partman.migration.ledger.readiness import Readiness
from partman.migration.ledger.status import Status
from partman.serve.probes.health import NO_STORE, Probe
from partman.serve.reader import Reader
from partman.tables import TABLES

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLES = tuple(table._meta.tablename for table in TABLES)
_ROWS = """
SELECT relname AS table, reltuples::bigint AS rows FROM pg_class
WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) AND reltuples >= 0
"""
"""What the last ANALYZE has estimated; -1 stands for none."""


@dataclass(frozen=True)
class Facts:
    """What is told of the database."""

    readiness: Readiness
    last_run: Entry | None = None
    rows: tuple[tuple[str, int], ...] = ()
    """Estimates, by table."""


def routes(probe: Probe, reader: Reader) -> list[Route]:
    """Return the route."""
    build = _build()

    async def metrics(request: Request) -> Response:
        facts = await _collect(probe, reader)
        registry = CollectorRegistry()
        registry.register(_Told(build, facts))
        encode, content_type = _encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type, **NO_STORE})

    return [Route("/metrics", metrics)]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes the format that is asked for, and the content type."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the library expects a version to be numbers
        return choose_encoder("")


async def _collect(probe: Probe, reader: Reader) -> Facts:
    readiness = await probe.readiness()
    if readiness.status is None:
        return Facts(readiness)

    async def more(connection: "Connection[Record]") -> Facts:
        last = await history.read_last(connection)
        rows = await connection.fetch(_ROWS, _TABLES)
        return Facts(readiness, last, tuple((row["table"], row["rows"]) for row in rows))

    try:
        return await reader.ask(more)
    except PartmanError:  # it is the next probe that says so
        return Facts(readiness)


class _Told(Collector):
    """The facts, as the client library wants them."""

    def __init__(self, build: Metric, facts: Facts) -> None:
        self._build = build
        self._facts = facts

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        readiness = self._facts.readiness
        status = readiness.status
        yield self._build
        yield _gauge(
            "partman_up", "Whether the database answers and can be read.", status is not None
        )
        yield _gauge(
            "partman_ready", "Whether the database is what this code expects.", readiness.ready
        )
        if status is not None:
            yield from _schema(readiness, status)
            yield _problems(readiness)
        if self._facts.last_run is not None:
            yield from _last_run(self._facts.last_run)
        rows = GaugeMetricFamily(
            "partman_table_rows_estimate",
            "Rows of a table, of all organizations, as of its last ANALYZE.",
            labels=["table"],
        )
        for table, number in self._facts.rows:
            rows.add_metric([table], number)
        yield rows


def _build() -> Metric:
    versions = {
        "version": __version__,
        "revision": history.revision() or "",
        "piccolo": piccolo.__VERSION__,
        "python": platform.python_version(),
    }
    return InfoMetricFamily("partman_build", "The code that answers.", versions)


def _schema(readiness: Readiness, status: Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "partman_schema",
        "The version that the database has, and the one that this code expects.",
        {"version": status.version or "", "expected": readiness.expected or ""},
    )
    for name, states in (("applied", status.applied), ("pending", status.pending)):
        yield _gauge(f"partman_migrations_{name}", f"Migrations that are {name}.", len(states))


def _problems(readiness: Readiness) -> Metric:
    counts = Counter(problem.kind for problem in readiness.problems)
    family = GaugeMetricFamily(
        "partman_migration_problems",
        "What does not fit together of files, ledger and history.",
        labels=["kind"],
    )
    for kind in KINDS:
        family.add_metric([kind], counts[kind])
    return family


def _last_run(entry: Entry) -> Iterator[Metric]:
    of = {"migration": entry.migration, "direction": str(entry.direction)}
    yield _gauge(
        "partman_last_run_success",
        "Whether the last migration that was run was done; 0: it failed.",
        entry.outcome is Outcome.DONE,
        **of,
    )
    yield _gauge(
        "partman_last_run_duration_seconds",
        "How long it took.",
        entry.duration.total_seconds(),
        **of,
    )
    yield _gauge(
        "partman_last_run_end_timestamp_seconds",
        "When it ended.",
        (entry.started_at + entry.duration).timestamp(),
        **of,
    )


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
