"""Two catalogs, and what cannot stay as it is on the way from one to the other."""

from dataclasses import dataclass
from functools import cached_property

from partman.catalog.ddl import alter, objects, order
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.text import Wording
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
    Reference,
    Sequence,
    Trigger,
    View,
)

_TAKE_THEIR_PARTS_ALONG = (
    "table", "column", "view", "materialized view", "foreign table", "domain"
)  # fmt: skip
_DEPENDENT = (Constraint, Index, Policy, Trigger, View)


@dataclass(frozen=True)
class Transition:
    """What there is to be, and what there is."""

    expected: Catalog
    found: Catalog
    say: Wording

    @cached_property
    def _common(self) -> list[tuple[Object, Object]]:
        """What is on both sides: as it is expected, and as it is found."""
        return [
            (one, before)
            for one in self.expected.objects
            if (before := self.found.by_reference.get(one.reference)) and not is_a_right(one)
        ]

    @cached_property
    def forced(self) -> frozenset[Reference]:
        """What stays, but is changed in a way for which all that depends on it has to be gone."""
        enums = {
            one.name
            for one, before in self._common
            if isinstance(one, Enum) and one != before and alter.differing(one, before) & {"labels"}
        }
        return frozenset(
            one.reference
            for one, before in self._common
            if (isinstance(one, Enum) and one.name in enums)
            or (
                isinstance(one, Column)
                and isinstance(before, Column)
                and (
                    (one.type, one.collation) != (before.type, before.collation)
                    or before.type in enums
                )
            )
        )

    @cached_property
    def replaced(self) -> frozenset[Reference]:
        """What is on both sides, and is dropped and made again."""
        replaced = {one.reference for one, was in self._common if alter.is_replaced(one, was)}
        moved = [
            one
            for one in self.found.objects
            if one.reference in replaced | self.forced
            or one.reference not in self.expected.by_reference
        ]
        while moved:
            one = moved.pop()
            for other, before in self._common:
                if other.reference in replaced:
                    continue
                in_place = one.reference not in replaced
                is_part = before.parent == one.reference and not in_place
                if is_part or self._depends(before, one, in_place=in_place):
                    replaced.add(other.reference)
                    moved.append(before)
        return frozenset(replaced)

    def _depends(self, one: Object, on: Object, *, in_place: bool) -> bool:
        """Whether it has to be gone while the other is changed ``in_place``, or dropped."""
        computed = isinstance(one, Column) and one.generated is not None
        if not (computed or isinstance(one, _DEPENDENT)):
            return False
        if isinstance(on, Constraint):
            return isinstance(one, Constraint) and _refers_to(one, on)
        if in_place and isinstance(on, Column) and isinstance(one, Index | Constraint):
            return False  # PostgreSQL builds it again by itself
        text = order.words(one, self.found)
        return isinstance(on, Column | Function | View | Enum) and order.is_about(text, on, one)

    def goes(self, reference: Reference | None, here: Catalog, there: Catalog) -> bool:
        """Whether something is here and not there, or only after it was dropped."""
        return reference in here.by_reference and (
            reference not in there.by_reference or reference in self.replaced
        )

    def goes_along(self, one: Object, here: Catalog, there: Catalog) -> bool:
        """Whether it is dropped with what it is a part of."""
        parent = one.parent
        if self._calls_what_goes_first(one, here, there):
            return False
        if isinstance(one, Constraint) and (other := referred(one)) not in (None, parent):
            # Tables that refer to each other could not be dropped one after the other.
            return self.goes(parent, here, there) and not (
                self.goes(other, here, there) or self._a_key_goes(other, here, there)
            )
        if parent is None or parent.kind not in _TAKE_THEIR_PARTS_ALONG:
            return False
        return self.goes(parent, here, there) or self.goes_along(
            here.by_reference[parent], here, there
        )

    def _calls_what_goes_first(self, one: Object, here: Catalog, there: Catalog) -> bool:
        """Whether it needs a function that is dropped before its table, as one that names it is."""
        if not isinstance(one, _DEPENDENT) or one.parent is None:
            return False
        keys = self.keys(here)
        gone_first = [
            function
            for function in here.of(Function)
            if self.goes(function.reference, here, there)
            and keys[function.reference] > keys[one.parent]
        ]
        return order.calls(one, gone_first, here)

    def _a_key_goes(self, table: Reference | None, here: Catalog, there: Catalog) -> bool:
        return any(
            one.parent == table and self.goes(one.reference, here, there)
            for one in here.of(Constraint)
        )

    def keys(self, catalog: Catalog) -> dict[Reference, OrderKey]:
        """Return when each object of one side is made; it is dropped in the opposite order."""
        return self._keys_of_found if catalog is self.found else self._keys_of_expected

    @cached_property
    def _keys_of_found(self) -> dict[Reference, OrderKey]:
        return order.keys(self.found)

    @cached_property
    def _keys_of_expected(self) -> dict[Reference, OrderKey]:
        return order.keys(self.expected)

    @cached_property
    def staying_columns(self) -> tuple[Column, ...]:
        """Columns that are on both sides, as they are found."""
        return tuple(
            one
            for one in self.found.of(Column)
            if one.reference in self.expected.by_reference and one.reference not in self.replaced
        )

    def is_made_along(self, one: Object, here: Catalog, there: Catalog) -> bool:
        """Whether the statement that makes its table or its column makes it, too."""
        if isinstance(one, Column):
            return self.goes(one.parent, here, there)
        if not isinstance(one, Sequence) or one.owned_by is None:
            return False
        column = here.by_reference[one.parent]
        assert isinstance(column, Column)
        return column.identity is not None or objects.is_serial(column, here)


def is_a_right(one: Object) -> bool:
    """Whether it is no object, but says what somebody may do with one."""
    return isinstance(one, (Grant, DefaultGrant))


def referred(one: Constraint) -> Reference | None:
    """Return the table that a foreign key refers to; None if it is another constraint."""
    if not one.definition.startswith("FOREIGN KEY"):
        return None
    name = one.definition.partition(" REFERENCES ")[2].partition("(")[0]
    return Reference("table", name)


def _refers_to(one: Constraint, key: Constraint) -> bool:
    """Whether a foreign key needs this unique or primary key."""
    if referred(one) != key.parent or "(" not in key.definition:
        return False
    referring = one.definition.partition(" REFERENCES ")[2]
    return _columns(referring) == _columns(key.definition)


def _columns(definition: str) -> set[str]:
    return set(definition.partition("(")[2].partition(")")[0].split(", "))
