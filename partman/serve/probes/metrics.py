"""``/metrics``: the state of the database for a monitoring system, in Prometheus' format."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from partman.apps import table_classes
from partman.database.cluster import ClusterState, read_cluster
from partman.errors import PartmanError
from partman.migration.ledger import history, origin, step_records
from partman.migration.ledger.history import Entry, Outcome
from partman.migration.ledger.preflight import KINDS
from partman.migration.ledger.readiness import Readiness
from partman.migration.ledger.status import Status
from partman.migration.ledger.step_records import Interruption
from partman.serve.probes.health import NO_STORE, Probe
from partman.serve.reader import Reader

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ROWS = """
SELECT DISTINCT
    CASE WHEN pg_table_is_visible(c.oid) THEN relname::text ELSE nspname || '.' || relname END
        AS table,
    reltuples::bigint AS rows
FROM unnest($1::text[], $2::text[]) AS registered (schema, name)
JOIN pg_class c ON relname = name AND relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = relnamespace
    AND CASE WHEN schema IS NULL THEN pg_table_is_visible(c.oid) ELSE nspname = schema END
WHERE reltuples >= 0
"""
"""The estimate of the last ANALYZE; -1 if there is none. A schema that the role may not use is no
error, as it would be with to_regclass().
"""


@dataclass(frozen=True)
class Facts:
    """The measured state of the database."""

    readiness: Readiness
    last_run: Entry | None = None
    rows: tuple[tuple[str, int], ...] = ()
    """Estimates, by table."""
    interruptions: tuple[Interruption, ...] = ()
    """Online migrations of which some steps are done, and which may be running."""
    cluster: ClusterState | None = None
    """None for a single server."""


def routes(probe: Probe, reader: Reader) -> list[Route]:
    """Return the route."""
    build = _build()
    registered = [(table._meta.schema, table._meta.tablename) for table in table_classes()]

    async def metrics(request: Request) -> Response:
        facts = await _collect(probe, reader, registered)
        registry = CollectorRegistry()
        registry.register(FactsCollector(build, facts))
        encode, content_type = _encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type, **NO_STORE})

    return [Route("/metrics", metrics)]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder for the requested format, and the content type."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the library expects numeric versions
        return choose_encoder("")


async def _collect(
    probe: Probe, reader: Reader, registered: Sequence[tuple[str | None, str]]
) -> Facts:
    """Query the database; ``registered`` are the schemas and names of the tables to count."""
    readiness = await probe.readiness()
    if readiness.status is None:
        return Facts(readiness)

    async def more(connection: "Connection[Record]") -> Facts:
        last = await history.read_last(connection)
        rows = await connection.fetch(
            _ROWS, [schema for schema, _ in registered], [name for _, name in registered]
        )
        found = await step_records.interruptions(connection)
        estimates = tuple((row["table"], row["rows"]) for row in rows)
        return Facts(readiness, last, estimates, tuple(found))

    try:
        return replace(await reader.ask(more), cluster=await _cluster(reader))
    except PartmanError:  # the next probe reports it
        return Facts(readiness)


async def _cluster(reader: Reader) -> ClusterState | None:
    try:
        return await reader.ask(read_cluster)
    except PartmanError:  # a node may not answer in time
        return await reader.ask(partial(read_cluster, asks_nodes=False))


class FactsCollector(Collector):
    """The facts as metrics of the client library."""

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
        yield from _backfills(self._facts.interruptions)
        if self._facts.cluster is not None:
            yield from _of_cluster(self._facts.cluster)
        rows = GaugeMetricFamily(
            "partman_table_rows_estimate",
            "Rows of a registered table, of all tenants, as of its last ANALYZE.",
            labels=["table"],
        )
        for table, number in self._facts.rows:
            rows.add_metric([table], number)
        yield rows


def _build() -> Metric:
    versions = {
        "version": __version__,
        "revision": origin.revision() or "",
        "piccolo": piccolo.__VERSION__,
        "python": platform.python_version(),
    }
    return InfoMetricFamily("partman_build", "The version of the running code.", versions)


def _schema(readiness: Readiness, status: Status) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "partman_schema",
        "The database's schema version, and the version that this code expects.",
        {"version": status.version or "", "expected": readiness.expected or ""},
    )
    for name, states in (("applied", status.applied), ("pending", status.pending)):
        yield _gauge(f"partman_migrations_{name}", f"Migrations that are {name}.", len(states))


def _problems(readiness: Readiness) -> Metric:
    counts = Counter(problem.kind for problem in readiness.problems)
    family = GaugeMetricFamily(
        "partman_migration_problems",
        "Inconsistencies between files, ledger and history.",
        labels=["kind"],
    )
    for kind in KINDS:
        family.add_metric([kind], counts[kind])
    return family


def _backfills(interruptions: Sequence[Interruption]) -> Iterator[Metric]:
    done = GaugeMetricFamily(
        "partman_backfill_rows",
        "Rows of the table that the backfill under way, or interrupted, has done.",
        labels=["app", "migration", "step"],
    )
    total = GaugeMetricFamily(
        "partman_backfill_rows_total_estimate",
        "Rows that this table had when the backfill began, as of its last ANALYZE.",
        labels=["app", "migration", "step"],
    )
    for each in interruptions:
        if each.progress is not None:
            labels = [each.migration.app, each.migration.id, str(each.step)]
            done.add_metric(labels, each.progress.rows)
            if each.progress.total is not None:
                total.add_metric(labels, each.progress.total)
    yield done
    yield total


def _last_run(entry: Entry) -> Iterator[Metric]:
    of = {"migration": entry.migration, "direction": str(entry.direction)}
    yield _gauge(
        "partman_last_run_success",
        "Whether the last migration run succeeded; 0: it failed.",
        entry.outcome is Outcome.DONE,
        **of,
    )
    yield _gauge(
        "partman_last_run_duration_seconds",
        "Duration of the last migration run.",
        entry.seconds or 0.0,
        **of,
    )
    yield _gauge(
        "partman_last_run_end_timestamp_seconds",
        "End of the last migration run.",
        entry.started_at.timestamp() + (entry.seconds or 0.0),
        **of,
    )


def _of_cluster(cluster: ClusterState) -> Iterator[Metric]:
    yield _gauges(
        "partman_cluster_node_up",
        "Whether a node of a distributed database is active and, if it was asked, answers.",
        "node",
        {node.name: node.is_active and not node.error for node in cluster.nodes},
    )
    yield _gauges(
        "partman_cluster_shards",
        "Shards of tenant tables on a node.",
        "node",
        {node.name: node.shards for node in cluster.nodes},
    )
    yield _gauges(
        "partman_cluster_bytes",
        "Size of the shards of tenant tables on a node, with their indexes.",
        "node",
        {node.name: node.bytes for node in cluster.nodes if node.bytes is not None},
    )
    yield _gauges(
        "partman_cluster_tenant_rows_estimate",
        "Rows of the largest tenants, as of the last ANALYZE.",
        "tenant",
        {tenant.id: tenant.rows for tenant in cluster.tenants},
    )
    yield _gauges(
        "partman_cluster_rebalance_moves",
        "Moves of a rebalance that has not ended.",
        "state",
        cluster.moves,
    )


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
