"""Find what must be dropped and created again on the way between two catalogs.

PostgreSQL refuses to drop an object, or to change the type of a column, while others depend on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from partman.catalog.ddl import alter, sequences
from partman.catalog.model import (
    Attachment,
    Catalog,
    Column,
    Constraint,
    Dependency,
    Enum,
    Function,
    Index,
    Object,
    Policy,
    PublishedTable,
    Reference,
    Rule,
    Sequence,
    Statistics,
    Trigger,
    TriggerState,
    View,
)

_RECREATED = (
    Constraint | Function | Index | Policy | PublishedTable | Rule | Statistics | Trigger
    | TriggerState | View
)  # fmt: skip
_REBUILT = Constraint | Index | Statistics
"""What PostgreSQL itself makes again when a column's type changes."""


@dataclass(frozen=True)
class Replacement:
    """What is dropped and created again, although it is in both catalogs."""

    objects: frozenset[Reference]
    defaults: frozenset[Reference]
    """Columns whose default or identity is dropped and set again."""
    stuck: frozenset[Reference]
    """Objects that stand in the way, and cannot be dropped and created again."""


def altered_with_dependents(expected: Catalog, found: Catalog) -> frozenset[Reference]:
    """Return what is altered in a way that requires dropping its dependents first."""
    common = list(pairs(expected, found))
    enums = {obj.name for obj, before in common if isinstance(obj, Enum) and _labels(obj, before)}
    types = enums | {f"{name}[]" for name in enums}
    return frozenset(
        obj.reference
        for obj, before in common
        if (isinstance(obj, Enum) and obj.name in enums)
        or (isinstance(before, Column) and (_has_new_type(obj, before) or before.type in types))
    )


def pairs(expected: Catalog, found: Catalog) -> Iterable[tuple[Object, Object]]:
    """Yield the objects in both catalogs: as expected, and as found."""
    for obj in expected.objects:
        if (before := found.by_reference.get(obj.reference)) is not None:
            yield obj, before


def replacement(expected: Catalog, found: Catalog, altered: frozenset[Reference]) -> Replacement:
    """Return what must be replaced. ``altered`` are altered in place, without their dependents."""
    search = _Search(expected, found, altered)
    common = list(pairs(expected, found))
    triggers = {
        obj.name
        for obj, before in common
        if isinstance(obj, Trigger) and alter.differing(obj, before)
    }
    for obj, before in common:
        if (
            alter.is_replaced(obj, before)
            or _changes_sides(obj, before)
            # A change of a trigger overwrites its states on partitions.
            or (isinstance(obj, TriggerState) and obj.name in triggers)
        ):
            search.replace(obj.reference)
        if isinstance(obj, Column) and isinstance(before, Column) and _declares(obj, before):
            search.replace_inheritance(obj.parent)
        if isinstance(obj, Column) and _identity(obj, expected) != _identity(before, found):
            search.defaults.add(obj.reference)
    search.causes += altered
    search.causes += (
        obj.reference for obj in found.objects if obj.reference not in expected.by_reference
    )
    search.run()
    return Replacement(
        frozenset(search.objects), frozenset(search.defaults), frozenset(search.stuck)
    )


@dataclass
class _Search:
    expected: Catalog
    found: Catalog
    altered: frozenset[Reference]
    objects: set[Reference] = field(default_factory=set)
    defaults: set[Reference] = field(default_factory=set)
    stuck: set[Reference] = field(default_factory=set)
    causes: list[Reference] = field(default_factory=list)

    @cached_property
    def attached(self) -> Mapping[Reference, list[Reference]]:
        return attached(self.found)

    def replace(self, reference: Reference) -> None:
        """Have an object replaced, and then what depends on it."""
        if reference not in self.objects:
            self.objects.add(reference)
            self.causes.append(reference)

    def replace_inheritance(self, table: Reference) -> None:
        """Have a table inherit anew: then it declares what it inherits."""
        for obj in self.found.by_parent.get(table, ()):
            is_inheritance = isinstance(obj, Attachment) and not obj.is_partition
            if is_inheritance and self._is_common(obj.reference):
                self.replace(obj.reference)

    def run(self) -> None:
        """Follow the dependencies in the catalog that is found."""
        while self.causes:
            cause = self.causes.pop()
            self._replace_above(self.found.by_reference[cause])
            for need in self.found.needed_by.get(cause, ()):
                if self._is_common(need.object):
                    self._follow(need)
            for reference in (*self.attached.get(cause, ()), *self._parts(cause)):
                if self._is_common(reference):
                    self.replace(reference)

    def _replace_above(self, obj: Object) -> None:
        """Have the index or key replaced with which one of a partition can only be dropped."""
        if not isinstance(obj, Index | Constraint) or obj.above is None:
            return
        is_attached = any(
            isinstance(each, Attachment) and self._is_common(each.reference)
            for each in self.found.by_parent.get(obj.parent, ())
        )
        if is_attached and self._is_common(obj.above):
            self.replace(obj.above)

    def _parts(self, cause: Reference) -> Iterator[Reference]:
        """Yield what must be created again after the object that it belongs to."""
        if cause in self.objects:
            for part in self.found.by_parent.get(cause, ()):
                if isinstance(part, _RECREATED):
                    yield part.reference

    def _is_common(self, reference: Reference) -> bool:
        return reference in self.expected.by_reference and reference in self.found.by_reference

    def _follow(self, need: Dependency) -> None:
        before = self.found.by_reference[need.object]
        cause = self.found.by_reference.get(need.on)
        if need.by_default:
            # The statements that replace an enum set the defaults of its columns again.
            if not (isinstance(cause, Enum) and need.object in self.altered):
                self.defaults.add(need.object)
        elif isinstance(before, Column) and before.generated is None:
            # A column stays. It gets another type before its former one goes.
            if need.on in self.objects:
                self.stuck.add(need.object)
        elif need.on in self.altered and isinstance(cause, Column) and self._is_rebuilt(before):
            pass
        elif isinstance(before, _RECREATED | Column):
            self.replace(need.object)
        elif need.on in self.objects or need.on in self.altered:
            self.stuck.add(need.object)

    def _is_rebuilt(self, obj: Object) -> bool:
        """Whether PostgreSQL makes it again as it was when a column's type changes.

        Those of partitions would lose their names and comments.
        """
        return isinstance(obj, _REBUILT) and not self.attached.get(obj.reference)


def _declares(obj: Column, before: Column) -> bool:
    """Whether a table begins to declare a column that it goes on to inherit."""
    return obj.declared and before.inherited and not before.declared


def _labels(obj: Object, before: Object) -> bool:
    return "labels" in alter.differing(obj, before)


def _has_new_type(obj: Object, before: Object) -> bool:
    assert isinstance(obj, Column)
    return bool({"type", "collation"} & alter.differing(obj, before))


def _changes_sides(obj: Object, before: Object) -> bool:
    """Whether a sequence belongs to an identity column in one of the catalogs only."""
    return (
        isinstance(obj, Sequence) and isinstance(before, Sequence)
    ) and obj.identity != before.identity


def _identity(column: Object, catalog: Catalog) -> str | None:
    """Return the name of an identity column's sequence."""
    sequence = sequences.of_identity(column, catalog) if isinstance(column, Column) else None
    return sequence.name if sequence else None


def attached(catalog: Catalog) -> Mapping[Reference, list[Reference]]:
    """Return indexes and keys of partitions, by those of the partitioned tables."""
    found = defaultdict(list)
    parts: tuple[Index | Constraint, ...] = (*catalog.of(Index), *catalog.of(Constraint))
    for obj in parts:
        if (above := obj.above) is not None:
            found[above].append(obj.reference)
    return found


def late_drops(expected: Catalog, found: Catalog, done: Replacement) -> frozenset[Reference]:
    """Return extra objects that are dropped last, because kept ones depend on them until then."""
    late: set[Reference] = set()
    waiting = [
        need.object
        for need in found.dependencies
        if need.object in expected.by_reference and need.object not in done.objects
    ]
    while waiting:
        for need in found.needs.get(waiting.pop(), ()):
            is_extra = need.on in found.by_reference and need.on not in expected.by_reference
            if is_extra and need.on not in late and not need.by_default:
                late.add(need.on)
                waiting.append(need.on)
    return frozenset(late)
