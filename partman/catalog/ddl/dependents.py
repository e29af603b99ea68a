"""What the way between two catalogs drops, creates, and does in passing."""

from dataclasses import dataclass
from functools import cached_property

from partman.catalog.ddl import replacement
from partman.catalog.ddl.order import Order, OrderKey, order
from partman.catalog.ddl.replacement import Replacement
from partman.catalog.ddl.sequences import is_created_with_column
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import (
    Attachment,
    Catalog,
    Column,
    DefaultGrant,
    Grant,
    Object,
    Reference,
    Sequence,
)

_DROPPED_WITH_THEIR_PARTS = (
    "table", "column", "view", "materialized view", "foreign table", "domain",
    "publication",
)  # fmt: skip


@dataclass(frozen=True)
class Transition:
    """The target and the current catalog."""

    expected: Catalog
    found: Catalog
    style: SqlStyle

    @cached_property
    def needs_dependents_dropped(self) -> frozenset[Reference]:
        """Objects that are altered in a way that requires dropping all their dependents first."""
        return replacement.altered_with_dependents(self.expected, self.found)

    @cached_property
    def replacement(self) -> Replacement:
        """What is in both catalogs, and dropped and created again."""
        return replacement.replacement(self.expected, self.found, self.needs_dependents_dropped)

    @property
    def replaced(self) -> frozenset[Reference]:
        """Objects in both catalogs that are dropped and created again."""
        return self.replacement.objects

    @cached_property
    def defaults_apart(self) -> frozenset[Reference]:
        """Columns in both catalogs whose default or identity is dropped first and set last."""
        late = self._order_of_expected.late_defaults | self._order_of_found.late_defaults
        kept = {obj.reference: obj for obj in self.kept_columns}
        changed = {
            reference
            for reference in late & kept.keys()
            if getattr(self.expected.by_reference[reference], "default", None)
            != kept[reference].default
        }
        return frozenset((self.replacement.defaults & kept.keys()) | changed)

    @cached_property
    def dropped_last(self) -> frozenset[Reference]:
        """Objects that others need until these are altered, such as the former type of a column."""
        return replacement.late_drops(self.expected, self.found, self.replacement)

    def is_dropped(self, reference: Reference | None, source: Catalog, target: Catalog) -> bool:
        """Whether the way from source to target drops an object, or drops and creates it again.

        With the catalogs swapped: whether an object is created.
        """
        return reference in source.by_reference and (
            reference not in target.by_reference or reference in self.replaced
        )

    def is_dropped_with_parent(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether an object is dropped together with its parent."""
        if isinstance(obj, Sequence) or obj.parent is None:
            return False
        if isinstance(obj, Attachment) and obj.is_partition:
            return False  # the partitioned table may be dropped first
        if obj.parent.kind not in _DROPPED_WITH_THEIR_PARTS:
            return False
        is_dropped = self.is_dropped(obj.parent, source, target) or self.is_dropped_with_parent(
            source.by_reference[obj.parent], source, target
        )
        return is_dropped and not self._stands_in_the_way(obj, source, target)

    def _stands_in_the_way(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether it needs something that is dropped before its parent is."""
        assert obj.parent is not None
        keys = self.keys(source)
        return any(
            keys[above] > keys[obj.parent]
            for need in source.needs.get(obj.reference, ())
            if (above := self._dropped_by(need.on, source, target)) not in (None, obj.parent)
            and above in keys
        )

    def _dropped_by(
        self, reference: Reference, source: Catalog, target: Catalog
    ) -> Reference | None:
        """Return what is dropped and takes an object along: the object itself, or its table."""
        obj = source.by_reference.get(reference)
        found = None
        while obj is not None and obj.parent is not None and obj.parent.kind != "schema":
            if self.is_dropped(obj.reference, source, target):
                found = obj.reference
            obj = source.by_reference.get(obj.parent)
        if obj is not None and self.is_dropped(obj.reference, source, target):
            found = obj.reference
        return found

    def order(self, catalog: Catalog) -> Order:
        """Return the order of creating a catalog's objects; they are dropped in reverse."""
        return self._order_of_found if catalog is self.found else self._order_of_expected

    def keys(self, catalog: Catalog) -> dict[Reference, OrderKey]:
        """Return the sort keys for creating a catalog's objects."""
        return self.order(catalog).keys

    @cached_property
    def _order_of_found(self) -> Order:
        return order(self.found)

    @cached_property
    def _order_of_expected(self) -> Order:
        return order(self.expected)

    @cached_property
    def kept_columns(self) -> tuple[Column, ...]:
        """Columns in both catalogs that are not replaced, as they are found."""
        return tuple(
            obj
            for obj in self.found.of(Column)
            if obj.reference in self.expected.by_reference and obj.reference not in self.replaced
        )

    def is_created_with_parent(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether the statement that creates its table or column also creates it."""
        if isinstance(obj, Attachment):
            return not obj.is_partition and self.is_dropped(obj.parent, source, target)
        if isinstance(obj, Column):
            late = obj.reference in self.order(source).late_defaults
            return self.is_dropped(obj.parent, source, target) and not (late and obj.generated)
        if not isinstance(obj, Sequence) or not is_created_with_column(obj, source):
            return False
        # An identity may also be added to a column that exists; serial may not.
        column = source.by_reference[obj.parent]
        return (
            obj.identity
            or self.is_dropped(column.reference, source, target)
            or self.is_dropped(column.parent, source, target)
        )


def is_grant(obj: Object) -> bool:
    """Whether it is a grant, and not an object of the database."""
    return isinstance(obj, (Grant, DefaultGrant))
