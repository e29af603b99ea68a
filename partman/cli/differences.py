"""Differences between two catalogs, printed and as JSON; the same for every command."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partman.catalog.compare import Difference
    from partman.catalog.ddl.change import Remedy
    from partman.catalog.model import Catalog


def text(differences: "Sequence[Difference]") -> Iterator[str]:
    """Say each difference, what is expected and what was found."""
    from partman.catalog.render import lines

    yield from lines(differences)


def facts(differences: "Sequence[Difference]") -> list[dict[str, Any]]:
    """Return them for JSON."""
    return [_facts(difference) for difference in differences]


def remedy(expected: "Catalog", found: "Catalog") -> Iterator[str]:
    """Say what would bring back what is expected, to be read before anybody runs it."""
    from partman.catalog.ddl.remedy import plan

    remedy = plan(expected, found, verbatim=True)
    if written := _forwards(remedy):
        yield "What would bring back what is expected; nothing of it was run:"
        yield ""
        yield from (f"{statement};" for statement in written)
        yield ""
    for difference in remedy.unwritten:
        yield f"Not written, so to do by hand: {difference.reference}"


def remedy_facts(expected: "Catalog", found: "Catalog") -> dict[str, Any]:
    """Return the same for JSON."""
    from partman.catalog.ddl.remedy import plan

    remedy = plan(expected, found, verbatim=True)
    return {
        "sql": _forwards(remedy),
        "by_hand": [str(difference.reference) for difference in remedy.unwritten],
    }


def _forwards(plan: "Remedy") -> list[str]:
    return [statement for change in plan.changes for statement in change.forwards]


def _facts(difference: "Difference") -> dict[str, Any]:
    from partman.catalog.render import sides

    expected, found = sides(difference)
    return {
        "verdict": difference.verdict,
        "kind": difference.reference.kind,
        "name": difference.reference.name,
        "attribute": difference.attribute,
        "expected": expected,
        "found": found,
    }


def scratch_facts(note: str | None) -> list[dict[str, str]]:
    """Return, for JSON, what the scratch databases could not have of the live one."""
    return [{"kind": "scratch", "message": note}] if note else []
