"""Differences between two catalogs, printed and as JSON; the same for every command."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partman.catalog.compare import Difference


def text(differences: "Sequence[Difference]") -> Iterator[str]:
    """Say each difference, what is expected and what was found."""
    from partman.catalog.render import lines

    yield from lines(differences)


def facts(differences: "Sequence[Difference]") -> list[dict[str, Any]]:
    """Return them for JSON."""
    return [_facts(difference) for difference in differences]


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
