"""What ``partman status`` prints of a distributed database."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from partman.cli import look
from partman.cli.look import Block
from partman.database.cluster import ClusterState, NodeState
from partman.plan.model import size_in_words


def cluster_facts(state: ClusterState) -> dict[str, Any]:
    """Return it for scripts."""
    return {"cluster": asdict(state)}


def cluster_report(state: ClusterState) -> Iterator[Block]:
    """Yield it for people."""
    yield look.BLANK
    header = ("node", "role", "shards", "size", "state")
    yield look.Table(header, [_row(node) for node in state.nodes], frozenset({"state"}))
    yield look.BLANK
    if state.tenants:
        largest = ", ".join(f"{each.id} ({each.rows:,} on {each.node})" for each in state.tenants)
        yield look.said(f"Largest tenants, in rows as of the last ANALYZE: {largest}.")
    if state.moves:
        moves = ", ".join(f"{number} {name}" for name, number in state.moves.items())
        yield look.said(f"A rebalance is under way; its moves: {moves}.", look.BRIEF)
    else:
        yield look.said("No rebalance is under way.")
    if not state.was_asked:
        yield look.note("This role may not ask the nodes for sizes and tenants.")


def _row(node: NodeState) -> tuple[str | look.Span, ...]:
    return (
        node.name,
        "coordinator" if node.is_coordinator else "worker",
        str(node.shards),
        "" if node.bytes is None else size_in_words(node.bytes),
        _state(node),
    )


def _state(node: NodeState) -> look.Span:
    if not node.is_active:
        return "not active", look.BAD
    if node.error:
        return f"does not answer: {node.error}", look.BAD
    return "active", look.GOOD
