"""Two catalogs, and what differs: one difference for each thing that somebody did."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from partman.catalog.model import Catalog, Grant, Object, Reference, order


class Verdict(StrEnum):
    """In what way an object differs."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as expected."""

    verdict: Verdict
    expected: Object | None
    """None where it is extra."""
    found: Object | None
    """None where it is missing."""
    attribute: str | None = None
    """What is different, by the name that it has in the model."""

    @property
    def object(self) -> Object:
        """As it is expected or, where it is not, as it was found."""
        known = self.expected or self.found
        assert known is not None
        return known

    @property
    def reference(self) -> Reference:
        """What it is about: the kind and the name of the object."""
        return self.object.reference


def compare(expected: Catalog, found: Catalog) -> list[Difference]:
    """Return all differences, sorted as the objects are; none if the catalogs are equal.

    What goes with something else is not told again: neither the columns of a missing table, nor
    the privileges on a missing column.
    """
    differences: list[Difference] = []
    for wanted in expected.objects:
        if (there := found.by_reference.get(wanted.reference)) is not None:
            differences += _changes(wanted, there, expected, found)
        elif not _goes_with_another(wanted, expected, found):
            differences.append(Difference(Verdict.MISSING, wanted, None))
    for there in found.objects:
        if there.reference in expected.by_reference:
            continue
        if not _goes_with_another(there, found, expected):
            differences.append(Difference(Verdict.EXTRA, None, there))
    return sorted(differences, key=lambda difference: order(difference.object))


def _changes(
    expected: Object, found: Object, in_expected: Catalog, in_found: Catalog
) -> Iterator[Difference]:
    if isinstance(expected, Grant) and isinstance(found, Grant):
        expected = _on_common_columns(expected, in_expected, in_found)
        found = _on_common_columns(found, in_found, in_expected)
    for attribute in fields(expected):
        # The parent is a part of the name, or else another attribute says it.
        if not attribute.compare or attribute.name == "parent":
            continue
        sides = (getattr(expected, attribute.name), getattr(found, attribute.name, None))
        # Owned by whoever owns what it belongs to: then that has changed.
        if attribute.name == "owner" and None in sides:
            continue
        if sides[0] != sides[1]:
            yield Difference(Verdict.DIFFERENT, expected, found, attribute.name)


def _goes_with_another(one: Object, here: Catalog, there: Catalog) -> bool:
    """Whether what it is a part of is here and not there, too."""
    if one.parent in here.by_reference and one.parent not in there.by_reference:
        return True
    return isinstance(one, Grant) and not _on_common_columns(one, here, there).privileges


def _on_common_columns(grant: Grant, here: Catalog, there: Catalog) -> Grant:
    """Leave out what is granted on columns that are here and not there."""

    def is_here_only(column: str) -> bool:
        reference = Reference("column", f"{grant.parent.name}.{column}")
        return reference in here.by_reference and reference not in there.by_reference

    common = (one for one in grant.privileges if not (one.column and is_here_only(one.column)))
    return replace(grant, privileges=tuple(common))
