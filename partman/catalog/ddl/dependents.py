"""Find the objects that must be dropped or replaced on the way between two catalogs."""

from dataclasses import dataclass
from functools import cached_property

from partman.catalog.ddl import alter, objects, order
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import (
    Catalog,
    Column,
    Constraint,
    DefaultGrant,
    Enum,
    Function,
    Grant,
    Index,
    Object,
    Policy,
    PublishedTable,
    Reference,
    Sequence,
    Trigger,
    TriggerState,
    View,
)

_DROPPED_WITH_THEIR_PARTS = (
    "table", "column", "view", "materialized view", "foreign table", "domain",
    "publication",
)  # fmt: skip
_DEPENDENT = (Constraint, Index, Policy, Trigger, View)


@dataclass(frozen=True)
class Transition:
    """The target and the current catalog."""

    expected: Catalog
    found: Catalog
    style: SqlStyle

    @cached_property
    def _common(self) -> list[tuple[Object, Object]]:
        """Objects in both catalogs, as pairs: as expected, and as found."""
        return [
            (obj, before)
            for obj in self.expected.objects
            if (before := self.found.by_reference.get(obj.reference)) and not is_grant(obj)
        ]

    @cached_property
    def needs_dependents_dropped(self) -> frozenset[Reference]:
        """Objects that are altered in a way that requires dropping all their dependents first."""
        enums = {
            obj.name
            for obj, before in self._common
            if isinstance(obj, Enum) and obj != before and alter.differing(obj, before) & {"labels"}
        }
        return frozenset(
            obj.reference
            for obj, before in self._common
            if (isinstance(obj, Enum) and obj.name in enums)
            or (
                isinstance(obj, Column)
                and isinstance(before, Column)
                and (
                    (obj.type, obj.collation) != (before.type, before.collation)
                    or before.type in enums
                )
            )
        )

    @cached_property
    def replaced(self) -> frozenset[Reference]:
        """Objects in both catalogs that are dropped and created again."""
        replaced = {obj.reference for obj, before in self._common if alter.is_replaced(obj, before)}
        replaced |= self._trigger_states()
        moved = [
            obj
            for obj in self.found.objects
            if obj.reference in replaced | self.needs_dependents_dropped
            or obj.reference not in self.expected.by_reference
        ]
        while moved:
            cause = moved.pop()
            for obj, before in self._common:
                if obj.reference in replaced:
                    continue
                in_place = cause.reference not in replaced
                is_part = before.parent == cause.reference and not in_place
                if is_part or self._depends(before, cause, in_place=in_place):
                    replaced.add(obj.reference)
                    moved.append(before)
        return frozenset(replaced)

    def _trigger_states(self) -> set[Reference]:
        """Return the states of partitions' triggers that a change of the trigger overwrites."""
        changed = {
            obj.name
            for obj, before in self._common
            if isinstance(obj, Trigger) and alter.differing(obj, before)
        }
        return {
            obj.reference
            for obj, _ in self._common
            if isinstance(obj, TriggerState) and obj.name in changed
        }

    def _depends(self, obj: Object, on: Object, *, in_place: bool) -> bool:
        """Whether an object must be dropped while another is altered ``in_place`` or dropped."""
        if isinstance(obj, PublishedTable):
            return obj.table in (on.reference, on.parent if isinstance(on, Column) else None)
        computed = isinstance(obj, Column) and obj.generated is not None
        if not (computed or isinstance(obj, _DEPENDENT)):
            return False
        if isinstance(on, Constraint):
            return isinstance(obj, Constraint) and refers_to(obj, on)
        if in_place and isinstance(on, Column) and isinstance(obj, Index | Constraint):
            return False  # PostgreSQL rebuilds it itself
        text = order.definition_text(obj, self.found)
        return isinstance(on, Column | Function | View | Enum) and order.mentions_object(
            text, on, obj
        )

    def is_dropped(self, reference: Reference | None, source: Catalog, target: Catalog) -> bool:
        """Whether the way from source to target drops an object, or drops and creates it again.

        With the catalogs swapped: whether an object is created.
        """
        return reference in source.by_reference and (
            reference not in target.by_reference or reference in self.replaced
        )

    def is_dropped_with_parent(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether an object is dropped together with its parent."""
        parent = obj.parent
        if self._calls_function_dropped_first(obj, source, target):
            return False
        if isinstance(obj, Constraint) and (other := obj.referenced) not in (None, parent):
            # A foreign key between two dropped tables is dropped before them, because they may
            # refer to each other.
            return self.is_dropped(parent, source, target) and not (
                self.is_dropped(other, source, target)
                or self._drops_constraint_of(other, source, target)
            )
        if parent is None or parent.kind not in _DROPPED_WITH_THEIR_PARTS:
            return False
        return self.is_dropped(parent, source, target) or self.is_dropped_with_parent(
            source.by_reference[parent], source, target
        )

    def _calls_function_dropped_first(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether it calls a function that is dropped before its table."""
        if not isinstance(obj, _DEPENDENT) or obj.parent is None:
            return False
        keys = self.keys(source)
        dropped_first = [
            function
            for function in source.of(Function)
            if self.is_dropped(function.reference, source, target)
            and keys[function.reference] > keys[obj.parent]
        ]
        return order.calls(obj, dropped_first, source)

    def _drops_constraint_of(
        self, table: Reference | None, source: Catalog, target: Catalog
    ) -> bool:
        return any(
            obj.parent == table and self.is_dropped(obj.reference, source, target)
            for obj in source.of(Constraint)
        )

    def keys(self, catalog: Catalog) -> dict[Reference, OrderKey]:
        """Return the sort keys for creating a catalog's objects; they are dropped in reverse."""
        return self._keys_of_found if catalog is self.found else self._keys_of_expected

    @cached_property
    def _keys_of_found(self) -> dict[Reference, OrderKey]:
        return order.keys(self.found)

    @cached_property
    def _keys_of_expected(self) -> dict[Reference, OrderKey]:
        return order.keys(self.expected)

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
        if isinstance(obj, Column):
            return self.is_dropped(obj.parent, source, target)
        if not isinstance(obj, Sequence) or obj.owned_by is None:
            return False
        column = source.by_reference[obj.parent]
        assert isinstance(column, Column)
        return column.identity is not None or objects.is_serial(column, source)


def is_grant(obj: Object) -> bool:
    """Whether it is a grant, and not an object of the database."""
    return isinstance(obj, (Grant, DefaultGrant))


def refers_to(obj: Constraint, key: Constraint) -> bool:
    """Whether a foreign key depends on this unique or primary key."""
    return (
        key.is_key
        and obj.referenced == key.parent
        and set(obj.referenced_columns) == set(key.columns)
    )
