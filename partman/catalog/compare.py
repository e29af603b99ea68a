"""Compare two catalogs: one difference for each change that was made."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from partman.catalog.model import Catalog, Column, Domain, Grant, Object, Reference, sort_key


class Verdict(StrEnum):
    """How an object differs from what is expected."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """An object, or an attribute of it, that is not as expected."""

    verdict: Verdict
    expected: Object | None
    """The expected object; None if the verdict is EXTRA."""
    found: Object | None
    """The object found; None if the verdict is MISSING."""
    attribute: str | None = None
    """The attribute of the model that differs; None for a missing or extra object."""

    @property
    def object(self) -> Object:
        """The expected object, or the one found if none is expected."""
        known = self.expected or self.found
        assert known is not None
        return known

    @property
    def reference(self) -> Reference:
        """The kind and the name of the object."""
        return self.object.reference


def compare(expected: Catalog, found: Catalog) -> list[Difference]:
    """Return all differences, in the order of the objects; none if the catalogs are equal.

    Parts of a missing or extra object are left out, such as the columns of a missing table or the
    privileges on a missing column.
    """
    differences: list[Difference] = []
    for obj in expected.objects:
        if (counterpart := found.by_reference.get(obj.reference)) is not None:
            differences += _changes(obj, counterpart, expected, found)
        elif not _is_implied_by_parent(obj, expected, found):
            differences.append(Difference(Verdict.MISSING, obj, None))
    for obj in found.objects:
        if obj.reference in expected.by_reference:
            continue
        if not _is_implied_by_parent(obj, found, expected):
            differences.append(Difference(Verdict.EXTRA, None, obj))
    return sorted(differences, key=lambda difference: sort_key(difference.object))


def _changes(
    expected: Object, found: Object, in_expected: Catalog, in_found: Catalog
) -> Iterator[Difference]:
    if expected == found:
        return
    if isinstance(expected, Grant) and isinstance(found, Grant):
        expected = _on_common_columns(expected, in_expected, in_found)
        found = _on_common_columns(found, in_found, in_expected)
    for attribute in fields(expected):
        # The parent is part of the name, or follows from another attribute.
        if not attribute.compare or attribute.name == "parent":
            continue
        values = (getattr(expected, attribute.name), getattr(found, attribute.name, None))
        # Without an owner of its own, the object has that of its parent, which is compared.
        if attribute.name == "owner" and None in values:
            continue
        # A partition has the name of the partitioned table's NOT NULL, and keeps it alone.
        if attribute.name == "null_name" and _null_constraint(expected) == _null_constraint(found):
            continue
        if values[0] != values[1]:
            yield Difference(Verdict.DIFFERENT, expected, found, attribute.name)


def _null_constraint(obj: Object) -> str | None:
    return obj.null_constraint if isinstance(obj, Column | Domain) else None


def _is_implied_by_parent(obj: Object, source: Catalog, target: Catalog) -> bool:
    """Whether its parent is in the source and not in the target, too."""
    if obj.parent in source.by_reference and obj.parent not in target.by_reference:
        return True
    return isinstance(obj, Grant) and not _on_common_columns(obj, source, target).privileges


def _on_common_columns(grant: Grant, source: Catalog, target: Catalog) -> Grant:
    """Leave out privileges on columns that are in the source and not in the target."""

    def is_in_source_only(column: str) -> bool:
        reference = Reference("column", f"{grant.parent.name}.{column}")
        return reference in source.by_reference and reference not in target.by_reference

    common = (
        privilege
        for privilege in grant.privileges
        if not (privilege.column and is_in_source_only(privilege.column))
    )
    return replace(grant, privileges=tuple(common))
