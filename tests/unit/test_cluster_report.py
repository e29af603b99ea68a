"""What is told of the nodes of a distributed database; tests/distributed asks real ones."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily
from starlette.requests import Request

from partman.cli.cluster_report import cluster_report
from partman.cli.look import rendered
from partman.database.cluster import ClusterState, NodeState, TenantSize
from partman.migration.ledger.readiness import Readiness
from partman.serve.pages import render
from partman.serve.probes.metrics import Facts, FactsCollector

pytestmark = pytest.mark.same_on_every_version

BUILD = InfoMetricFamily("partman_build", "", {})
STATE = ClusterState(
    (
        NodeState("one:5432", is_coordinator=True, is_active=True, shards=0, bytes=0),
        NodeState("two:5432", is_coordinator=False, is_active=True, shards=16, bytes=5 << 20),
        NodeState("three:5432", is_coordinator=False, is_active=True, shards=16, error="refused"),
        NodeState("four:5432", is_coordinator=False, is_active=False, shards=0),
    ),
    (TenantSize("big", 1_200_000, "two:5432"),),
    {"done": 3, "running": 1},
    was_asked=True,
)


def told(state: ClusterState) -> str:
    lines = rendered(cluster_report(state), None)
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_status_tells_of_nodes_tenants_and_moves() -> None:
    text = told(STATE)
    assert "does not answer: refused" in text
    assert "not active" in text
    assert "5 MB" in text
    assert "big (1,200,000 on two:5432)" in text
    assert "its moves: 3 done, 1 running" in text


def test_status_says_what_it_could_not_ask() -> None:
    text = told(replace(STATE, tenants=(), moves={}, was_asked=False))
    assert "No rebalance is under way." in text
    assert "may not ask the nodes" in text


def test_metrics_tell_the_same() -> None:
    registry = CollectorRegistry()
    ready = Readiness(None, "", None)
    registry.register(FactsCollector(BUILD, Facts(ready, cluster=STATE)))
    text = generate_latest(registry).decode()
    assert 'partman_cluster_node_up{node="two:5432"} 1.0' in text
    assert 'partman_cluster_node_up{node="three:5432"} 0.0' in text
    assert 'partman_cluster_node_up{node="four:5432"} 0.0' in text
    assert 'partman_cluster_shards{node="two:5432"} 16.0' in text
    assert text.count("partman_cluster_bytes{") == 2
    assert 'partman_cluster_tenant_rows_estimate{tenant="big"} 1.2e+06' in text
    assert 'partman_cluster_rebalance_moves{state="running"} 1.0' in text


def test_the_page_tells_the_same() -> None:
    request = Request({"type": "http", "path": "/migrations", "headers": []})
    text = bytes(render(request, "cluster.html", cluster=STATE).body).decode()
    for told_there in ("three:5432", "does not answer", ": refused", "5 MB", "1,200,000", "3 done"):
        assert told_there in text
