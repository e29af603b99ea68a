"""Plan the changes that turn one catalog into another, and their reversal."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.ddl import (
    alter,
    attachments,
    defaults,
    grants,
    indexed,
    objects,
    order,
    replacement,
)
from partman.catalog.ddl.attachments import Attachments
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.dependents import Transition, is_grant
from partman.catalog.ddl.hanging import hanging_on, in_circles
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.privileges import GrantChanges, transfer_ownership
from partman.catalog.ddl.text import SqlStyle, style_for
from partman.catalog.model import (
    OWNER,
    Attachment,
    Catalog,
    Column,
    Constraint,
    Enum,
    Index,
    Object,
    Policy,
    Reference,
    Rule,
    Table,
    Trigger,
    TriggerState,
)

T = TypeVar("T", bound=Object)


def plan(expected: Catalog, found: Catalog, *, verbatim: bool = False) -> Remedy:
    """Return the changes that turn ``found`` into ``expected``.

    ``verbatim``: write the SQL as PostgreSQL prints it, without shortening it.
    """
    style = SqlStyle(verbatim=True) if verbatim else style_for(expected, found)
    return _Planner(Transition(expected, found, style)).plan()


class _Planner:
    def __init__(self, transition: Transition) -> None:
        self._transition, self._grants = transition, GrantChanges(transition)
        self._attachments = Attachments(transition)
        self.expected, self.found = transition.expected, transition.found
        self.style = transition.style
        self.unwritten: set[Reference] = set()
        self._blocked: set[Reference] = set()

    def plan(self) -> Remedy:
        drops = sorted(self._drops(), key=lambda pair: pair[0], reverse=True)
        middle = sorted(self._creations_and_changes(), key=lambda pair: pair[0])
        last = self._transition.dropped_last
        early = [change for _, change in drops if change.reference not in last]
        late = [replace(change, is_early=False) for _, change in drops if change.reference in last]
        changes = [*early, *(change for _, change in middle), *late]
        self._blocked |= in_circles(self._transition)
        hanging = hanging_on(self._blocked, changes, self._transition)
        stuck = self._transition.replacement.stuck
        one_way = self.unwritten - self._blocked - hanging - stuck
        self.unwritten |= hanging | stuck
        return Remedy(
            tuple(
                change
                for change in changes
                if (change.forwards or change.backwards) and change.reference not in hanging
            ),
            tuple(self._unwritten_differences(one_way)),
            self.style,
            frozenset(one_way),
        )

    def _unwritten_differences(self, one_way: Collection[Reference]) -> Iterator[Difference]:
        differences = defaultdict(list)
        for each in compare(self.expected, self.found):
            differences[each.reference].append(each)
        for reference in sorted(self.unwritten):
            obj = self.expected.by_reference.get(reference)
            before = self.found.by_reference.get(reference)
            if reference in differences or reference in one_way:
                yield from differences[reference]
            elif obj and before:
                # One that only stands in the way does not differ.
                yield Difference(Verdict.DIFFERENT, obj, before, "dependencies")
            else:
                verdict = Verdict.MISSING if obj else Verdict.EXTRA
                yield Difference(verdict, obj, before)

    def _drops(self) -> Iterator[tuple[OrderKey, Change]]:
        keys = self._transition.keys(self.found)
        for obj in self.found.objects:
            if is_grant(obj) or not self._transition.is_dropped(
                obj.reference, self.found, self.expected
            ):
                continue
            if self._transition.is_created_with_parent(obj, self.found, self.expected):
                continue
            if isinstance(obj, Policy) and self._is_dropped_late(obj):
                continue
            backwards = self._create(obj, self.found, self.expected)
            forwards = self._drop(obj, self.found, self.expected)
            yield (
                keys[obj.reference],
                self._change(obj, forwards, backwards, dropped=obj, is_early=True),
            )
        yield from self._grants.of_tables(self.found, self.expected, forwards=False)
        yield from indexed.changes(self._transition, self.found, self.expected, forwards=False)
        yield from defaults.changes(self._transition, self.found, self.expected, forwards=False)
        yield from self._grants.by_default(forwards=False)

    def _creations_and_changes(self) -> Iterator[tuple[OrderKey, Change]]:
        keys = self._transition.keys(self.expected)
        for obj in self.expected.objects:
            if is_grant(obj):
                continue
            if self._transition.is_dropped(obj.reference, self.expected, self.found):
                if self._transition.is_created_with_parent(obj, self.expected, self.found):
                    continue
                forwards = self._create(obj, self.expected, self.found)
                backwards = self._drop(obj, self.expected, self.found)
                if backwards is not None:
                    backwards = (*backwards, *self._taken_along(obj))
                yield (
                    keys[obj.reference],
                    self._change(obj, forwards, backwards, created=obj),
                )
            elif (before := self.found.by_reference[obj.reference]) != obj:
                yield from self._alter(obj, before, keys[obj.reference])
        yield from self._dropped_policies()
        yield from self._grants.of_tables(self.expected, self.found, forwards=True)
        yield from indexed.changes(self._transition, self.expected, self.found, forwards=True)
        yield from self._grants.changed()
        yield from defaults.changes(self._transition, self.expected, self.found, forwards=True)
        yield from self._grants.by_default(forwards=True)

    def _drop(self, obj: Object, source: Catalog, target: Catalog) -> Statements | None:
        """Return what drops an object of the source, on the way to the target."""
        if self._transition.is_dropped_with_parent(obj, source, target):
            return ()
        if self._attachments.is_done_by_parent(obj, source, target):
            return ()
        if isinstance(obj, Attachment):
            return self._attachments.detach(obj, target)
        return objects.drop(obj, self.style)

    def _create(self, obj: Object, catalog: Catalog, target: Catalog) -> Statements | None:
        """Return what creates an object of the catalog, on the way from the target."""
        late = self._transition.order(catalog).late_defaults
        statements = None
        if self._attachments.is_done_by_parent(obj, catalog, target):
            statements = self._attachments.with_parent(obj, catalog)
        if isinstance(obj, Attachment):
            return attachments.attach(obj, catalog, self.style)
        if statements is None:
            statements = objects.create(obj, catalog, self.style, late)
        if statements is None:
            return None
        statements = (*statements, *self._attachments.of_new(obj, catalog))
        if isinstance(obj, Column):
            return (*statements, *self._grants.of_column(obj, catalog))
        if isinstance(obj, (Table, Constraint, Index, Policy, Trigger, TriggerState, Rule)):
            return statements
        return (
            *statements,
            *grants.of_new(obj, catalog, self.style),
            *transfer_ownership(obj, catalog, self.style),
        )

    def _taken_along(self, obj: Object) -> Iterator[str]:
        """Yield what creates again the partitions' indexes and keys that are dropped with it.

        They were there before it, and became one with it.
        """
        for reference in self._attached.get(obj.reference, ()):
            part = self.found.by_reference.get(reference)
            if part and not self._transition.is_dropped(reference, self.found, self.expected):
                yield from self._create(part, self.found, self.expected) or ()

    @cached_property
    def _attached(self) -> Mapping[Reference, list[Reference]]:
        return replacement.attached(self.expected)

    def _alter(
        self, obj: Object, before: Object, key: OrderKey
    ) -> Iterator[tuple[OrderKey, Change]]:
        columns = self._columns_of(obj) if isinstance(obj, Enum) else ()
        if obj.reference in self._transition.defaults_apart:
            obj, before = _without_default(obj), _without_default(before)
        so_far = self._attachments.altered(obj, before, self.expected, self.found)
        forwards = alter.alter(obj, so_far, self.expected, columns, self.style)
        so_far = self._attachments.altered(before, obj, self.found, self.expected)
        backwards = alter.alter(before, so_far, self.found, columns, self.style)
        if isinstance(obj, Table):
            key = order.row_security(obj.reference)
        yield key, self._change(obj, forwards, backwards)
        owners = (getattr(obj, "owner", None), getattr(before, "owner", None))
        if owners[0] != owners[1] and None not in owners:
            last = (order.OWNERS, obj.kind, 0, obj.name)
            yield (
                last,
                self._change(
                    obj,
                    transfer_ownership(obj, self.expected, self.style)
                    or (alter.owner(obj, OWNER, self.style),),
                    transfer_ownership(before, self.found, self.style)
                    or (alter.owner(obj, OWNER, self.style),),
                ),
            )

    def _columns_of(self, enum: Enum) -> list[Column]:
        """Return the columns of a type, as they are while it is altered."""
        references = {need.object for need in self.found.needed_by.get(enum.reference, ())}
        return [
            _without_default(obj) if reference in self._transition.defaults_apart else obj
            for reference in sorted(references)
            if isinstance(obj := self.found.by_reference.get(reference), Column)
            and reference in self.expected.by_reference
            and reference not in self._transition.replaced
        ]

    def _is_dropped_late(self, policy: Policy) -> bool:
        """Whether a dropped policy depends on nothing that is dropped before.

        Then it is dropped in the same commit in which the new policies are created. A time between
        them could show rows of other tenants.
        """
        if policy.reference in self._transition.replaced or self._transition.is_dropped_with_parent(
            policy, self.found, self.expected
        ):
            return False
        return not any(
            self._transition.is_dropped(need.on, self.found, self.expected)
            or need.on in self._transition.needs_dependents_dropped
            for need in self.found.needs.get(policy.reference, ())
        )

    def _dropped_policies(self) -> Iterator[tuple[OrderKey, Change]]:
        for obj in self.found.of(Policy):
            dropped = self._transition.is_dropped(obj.reference, self.found, self.expected)
            if dropped and self._is_dropped_late(obj):
                yield (
                    order.dropped_policy(obj),
                    self._change(
                        obj,
                        objects.drop(obj, self.style),
                        self._create(obj, self.found, self.expected),
                        dropped=obj,
                    ),
                )

    def _change(
        self,
        obj: Object,
        forwards: Statements | None,
        backwards: Statements | None,
        *,
        created: Object | None = None,
        dropped: Object | None = None,
        is_early: bool = False,
    ) -> Change:
        if forwards is None or backwards is None:
            self.unwritten.add(obj.reference)
        if forwards is None:
            self._blocked.add(obj.reference)
        return Change(
            obj.reference, forwards or (), backwards or (), created, dropped, is_early=is_early
        )


def _without_default(obj: T) -> T:
    """Return a column without its default and identity, which are changed apart from it."""
    if not isinstance(obj, Column):
        return obj
    return replace(obj, default=None, identity=None)
