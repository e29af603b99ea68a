"""What has to be done to turn one catalog into another, and to go back."""

from collections.abc import Iterator

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.ddl import alter, grants, objects, order
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.dependents import Transition, is_a_right
from partman.catalog.ddl.objects import Statements
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.privileges import Rights, give_away
from partman.catalog.ddl.text import Wording, wording_for
from partman.catalog.model import (
    OWNER,
    Catalog,
    Column,
    Constraint,
    Enum,
    Function,
    Index,
    Object,
    Policy,
    Reference,
    Table,
    Trigger,
    View,
)


def plan(expected: Catalog, found: Catalog, *, literally: bool = False) -> Remedy:
    """Return what turns ``found`` into ``expected``.

    ``literally``: say everything as PostgreSQL does, and not shorter.
    """
    say = Wording(literally=True) if literally else wording_for(expected, found)
    return _Planner(Transition(expected, found, say)).plan()


class _Planner:
    def __init__(self, sides: Transition) -> None:
        self._sides, self._rights = sides, Rights(sides)
        self.expected, self.found, self.say = sides.expected, sides.found, sides.say
        self.unwritten: set[Reference] = set()

    def plan(self) -> Remedy:
        early = sorted(self._drops(), key=lambda pair: pair[0], reverse=True)
        late = sorted(self._rest(), key=lambda pair: pair[0])
        changes = [change for _, change in (*early, *late)]
        return Remedy(
            tuple(change for change in changes if change.forwards or change.backwards),
            tuple(self._unwritten_differences()),
            self.say,
        )

    def _unwritten_differences(self) -> Iterator[Difference]:
        told = compare(self.expected, self.found)
        for reference in sorted(self.unwritten):
            one = self.expected.by_reference.get(reference)
            before = self.found.by_reference.get(reference)
            if one and before:
                yield from (each for each in told if each.reference == reference)
            else:
                verdict = Verdict.MISSING if one else Verdict.EXTRA
                yield Difference(verdict, one, before)

    def _drops(self) -> Iterator[tuple[OrderKey, Change]]:
        keys = self._sides.keys(self.found)
        for one in self.found.objects:
            if is_a_right(one) or not self._sides.goes(one.reference, self.found, self.expected):
                continue
            if self._sides.is_made_along(one, self.found, self.expected):
                continue
            if isinstance(one, Policy) and self._can_wait(one):
                continue
            backwards = self._make(one, self.found)
            along = self._sides.goes_along(one, self.found, self.expected)
            forwards = () if along else objects.drop(one, self.say)
            yield (
                keys[one.reference],
                self._change(one, forwards, backwards, dropped=one, is_early=True),
            )
        yield from self._rights.of_tables(self.found, self.expected, forwards=False)

    def _rest(self) -> Iterator[tuple[OrderKey, Change]]:
        keys = self._sides.keys(self.expected)
        for one in self.expected.objects:
            if is_a_right(one):
                continue
            if self._sides.goes(one.reference, self.expected, self.found):
                if self._sides.is_made_along(one, self.expected, self.found):
                    continue
                along = self._sides.goes_along(one, self.expected, self.found)
                backwards = () if along else objects.drop(one, self.say)
                yield (
                    keys[one.reference],
                    self._change(one, self._make(one, self.expected), backwards, made=one),
                )
            elif (before := self.found.by_reference[one.reference]) != one:
                yield from self._alter(one, before, keys[one.reference])
        yield from self._late_policies()
        yield from self._rights.of_tables(self.expected, self.found, forwards=True)
        yield from self._rights.changed()
        yield from self._rights.by_default()

    def _make(self, one: Object, catalog: Catalog) -> Statements | None:
        made = objects.create(one, catalog, self.say)
        if made is None:
            return None
        if isinstance(one, Column):
            return (*made, *self._rights.of_column(one, catalog))
        if isinstance(one, (Table, Constraint, Index, Policy, Trigger)):
            return made
        return (*made, *grants.of_new(one, catalog, self.say), *give_away(one, catalog, self.say))

    def _alter(
        self, one: Object, before: Object, key: OrderKey
    ) -> Iterator[tuple[OrderKey, Change]]:
        columns = self._sides.staying_columns
        forwards = alter.alter(one, before, self.expected, columns, self.say)
        backwards = alter.alter(before, one, self.found, columns, self.say)
        if isinstance(one, Table):
            key = order.row_security(one.reference)
        if _is_serial_now(one, before) or _is_serial_now(before, one):
            self.unwritten.add(one.reference)
        yield key, self._change(one, forwards, backwards)
        owners = (getattr(one, "owner", None), getattr(before, "owner", None))
        if owners[0] != owners[1] and None not in owners:
            last = (order.OWNERS, one.kind, 0, one.name)
            yield (
                last,
                self._change(
                    one,
                    give_away(one, self.expected, self.say) or (alter.owner(one, OWNER, self.say),),
                    give_away(before, self.found, self.say) or (alter.owner(one, OWNER, self.say),),
                ),
            )

    def _can_wait(self, policy: Policy) -> bool:
        """Whether nothing that a policy needs is dropped.

        Then it is dropped in the same commit as the new ones are made: in between, somebody could
        see what is not his.
        """
        if policy.reference in self._sides.replaced or self._sides.goes_along(
            policy, self.found, self.expected
        ):
            return False
        text = order.words(policy, self.found)
        return not any(
            order.is_about(text, one, policy)
            for one in self.found.objects
            if isinstance(one, (Column, Enum, Function, Table, View))
            and (
                self._sides.goes(one.reference, self.found, self.expected)
                or one.reference in self._sides.forced
            )
        )

    def _late_policies(self) -> Iterator[tuple[OrderKey, Change]]:
        for one in self.found.of(Policy):
            goes = self._sides.goes(one.reference, self.found, self.expected)
            if goes and self._can_wait(one):
                yield (
                    order.dropped_policy(one),
                    self._change(
                        one, objects.drop(one, self.say), self._make(one, self.found), dropped=one
                    ),
                )

    def _change(
        self,
        one: Object,
        forwards: Statements | None,
        backwards: Statements | None,
        *,
        made: Object | None = None,
        dropped: Object | None = None,
        is_early: bool = False,
    ) -> Change:
        if forwards is None or backwards is None:
            self.unwritten.add(one.reference)
        return Change(
            one.reference, forwards or (), backwards or (), made, dropped, is_early=is_early
        )


def _is_serial_now(one: Object, before: Object) -> bool:
    """Whether a column has got a sequence of another kind than the one it had, by that name."""
    return (
        isinstance(one, Column)
        and isinstance(before, Column)
        and one.default is not None
        and one.default.startswith("nextval(")
        and before.default != one.default
    )
