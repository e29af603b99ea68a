"""Try the SQL that is to bring a database back, on a copy of its schema.

Only what was run there, and has led to what is expected, is offered. The rest is to be done by
hand, with PostgreSQL's error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from partman.catalog.compare import Difference, compare
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Object, Reference, sort_key
from partman.catalog.python_defaults import mark_as_in
from partman.catalog.read import read_catalog
from partman.catalog.renames import Rename, find_renames
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.losses import Loss, losses_of
from partman.migration.verification.same_expressions import as_written_in
from partman.migration.verification.schema_copy import SchemaCopy, apply, schema_copy, taken_back
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ROUNDS = 20
"""How often to leave out what fails; each time at least one object more."""
_RENAMES = 5
"""How often to look for renames: in a renamed table there may be renamed columns."""

_UNCHECKED = "SET check_function_bodies = off"
_NO_SQL = "no SQL is known for it"
_STILL_DIFFERENT = "its SQL runs, and leaves a difference"
_RENAMED = "{} seems to have been renamed to {}"
_AMBIGUOUS = "it may have been renamed; several have this shape: {}"


@dataclass(frozen=True)
class OfferedStatement:
    """A statement that was tried."""

    sql: str
    loss: Loss | None = None
    """What it takes with it."""


@dataclass(frozen=True)
class ByHand:
    """A difference that no tried SQL ends."""

    reference: Reference
    reason: str
    statements: tuple[OfferedStatement, ...] = ()
    """What was tried, or what could not be tried."""
    tried: bool = True


@dataclass(frozen=True)
class TriedRemedy:
    """What ends the differences."""

    statements: tuple[OfferedStatement, ...] = ()
    """In this order they lead to what is expected, but for what is to be done by hand."""
    by_hand: tuple[ByHand, ...] = ()
    copy_lacks: tuple[Reference, ...] = ()
    """What the live database has, and the copy could not be given."""
    not_tried: str | None = None
    """Why no copy could be built: then the statements are as planned."""

    @property
    def all_statements(self) -> tuple[OfferedStatement, ...]:
        """Also those to be run by hand."""
        by_hand = (statement for each in self.by_hand for statement in each.statements)
        return (*self.statements, *by_hand)

    def with_losses(self, numbers: Mapping[Loss, Loss]) -> "TriedRemedy":
        """Replace the losses by counted ones."""

        def with_number(statement: OfferedStatement) -> OfferedStatement:
            return replace(statement, loss=numbers[statement.loss]) if statement.loss else statement

        return replace(
            self,
            statements=tuple(map(with_number, self.statements)),
            by_hand=tuple(
                replace(each, statements=tuple(map(with_number, each.statements)))
                for each in self.by_hand
            ),
        )


async def try_remedy(
    scratch: Settings,
    expected: Catalog,
    found: Catalog,
    isolation: Isolation,
    target: Catalog | None = None,
) -> TriedRemedy:
    """Return the SQL that turns ``found`` into ``expected``, as far as it does so on a copy.

    ``scratch`` is the server to build the copies on; ``target`` is ``expected`` as a copy of it
    prints it, if there was one. Raises the errors of scratch_database().
    """
    async with (
        scratch_database(scratch) as settings,
        connected(settings, "partman: remedy") as connection,
    ):
        if target is None:
            async with schema_copy(connection, expected) as copy:
                target = mark_as_in(copy.catalog, expected)
        async with schema_copy(connection, found) as start:
            trial = _Trial(connection, isolation, expected, target)
            return await trial.run(found, start)


def untried_remedy(expected: Catalog, found: Catalog, reason: str) -> TriedRemedy:
    """Return the planned SQL where no copy could be built; nothing is taken for a rename."""
    remedy = plan(expected, found, verbatim=True)
    return TriedRemedy(
        tuple(_offered(remedy.changes, expected, found)),
        tuple(ByHand(each.reference, _NO_SQL, tried=False) for each in remedy.unwritten_forwards),
        not_tried=reason,
    )


def _offered(
    changes: Sequence[Change], expected: Catalog, found: Catalog
) -> Iterator[OfferedStatement]:
    for change in changes:
        losses = losses_of(change, expected, found)
        for statement in change.forwards:
            yield OfferedStatement(statement, losses.get(statement))


def _lacking(found: Catalog, start: SchemaCopy) -> Iterator[Reference]:
    """Yield what the copy lacks, without the parts of what it lacks."""
    for reference in start.not_built:
        obj = found.by_reference.get(reference)
        if obj is None or obj.parent not in start.not_built:
            yield reference


@dataclass(frozen=True)
class _Attempt:
    """Changes that ran one after the other, and what was left out for it."""

    changes: tuple[Change, ...]
    excluded: Mapping[Reference, ByHand]
    remaining: tuple[Difference, ...]


@dataclass(frozen=True)
class _Trial:
    _connection: "Connection[Record]"
    _isolation: Isolation
    _expected: Catalog
    _target: Catalog
    """What is expected, as the copy prints it."""

    async def run(self, found: Catalog, start: SchemaCopy) -> TriedRemedy:
        renames, current = await self._rename(found, start)
        remedy = plan(self._expected, current, verbatim=True)
        left_out = {
            reference: ByHand(reference, reason, tried=False)
            for reference, reason in start.not_built.items()
        }
        left_out |= self._not_renamed(current)
        session, attempt = await self._with_or_without_bodies(remedy, current, left_out)
        return TriedRemedy(
            (
                *session,
                *(OfferedStatement(rename.statement) for rename in renames),
                *_offered(attempt.changes, self._expected, current),
            ),
            tuple(self._by_hand(remedy, attempt, current)),
            tuple(_lacking(found, start)),
        )

    # Renames

    async def _rename(self, found: Catalog, start: SchemaCopy) -> tuple[list[Rename], Catalog]:
        """Rename on the copy what has another name; return the renames, and what then is found."""
        done: list[Rename] = []
        current, copy = found, start.catalog
        for _ in range(_RENAMES):
            renamed = [
                rename
                for rename in find_renames(self._expected, current).certain
                if not await self._fails(rename)
            ]
            if not renamed:
                break
            done += renamed
            after = await self._read()
            current = self._overlaid(current, copy, after)
            copy = after
        return done, current

    def _not_renamed(self, current: Catalog) -> dict[Reference, ByHand]:
        """Return what is not to be dropped, as it may only have another name."""
        found = {}
        renames = find_renames(self._expected, current)
        for rename in renames.certain:
            for reference in (rename.expected, rename.found):
                found[reference] = ByHand(
                    reference,
                    _RENAMED.format(rename.expected, rename.found),
                    (OfferedStatement(rename.statement),),
                    tried=False,
                )
        for group in renames.ambiguous:
            for reference in group:
                if reference in current.by_reference:
                    reason = _AMBIGUOUS.format(", ".join(map(str, group)))
                    found[reference] = ByHand(reference, reason, tried=False)
        return found

    async def _fails(self, rename: Rename) -> bool:
        change = Change(rename.expected, (rename.statement,), ())
        return bool(await apply(self._connection, [change]))

    def _overlaid(self, current: Catalog, before: Catalog, after: Catalog) -> Catalog:
        """Return what is found after the renames; what they left alone as it was written."""
        kept = {
            reference: obj
            for reference, obj in current.by_reference.items()
            if before.by_reference.get(reference) == after.by_reference.get(reference)
        }
        new = {obj.reference: obj for obj in after.objects if obj.reference not in kept}
        objects = sorted([*kept.values(), *new.values()], key=sort_key)
        catalog = mark_as_in(replace(current, objects=tuple(objects)), self._expected)
        return as_written_in(
            self._expected, catalog, [self._expected, self._target], [catalog, after]
        )

    # Attempts

    async def _with_or_without_bodies(
        self, remedy: Remedy, current: Catalog, left_out: Mapping[Reference, ByHand]
    ) -> tuple[tuple[OfferedStatement, ...], _Attempt]:
        """Try with the bodies of functions checked, as in any session, and else without.

        A body in a string may mention what only its author's search_path finds.
        """
        attempts = []
        for sql, setting in ((None, "on"), (_UNCHECKED, "off")):
            await self._connection.execute(f"SET LOCAL check_function_bodies = {setting}")
            attempt = await self._best_attempt(remedy, current, left_out)
            attempts.append(((OfferedStatement(sql),) if sql else (), attempt))
            if len(attempt.excluded) <= len(left_out):
                break
        return min(attempts, key=lambda each: len(each[1].excluded))

    async def _best_attempt(
        self, remedy: Remedy, current: Catalog, left_out: Mapping[Reference, ByHand]
    ) -> _Attempt:
        """Try with what is about isolation first, as far as it can be first."""
        first = [
            change
            for change in remedy.changes
            if self._isolation.changes(change, self._expected, current)
        ]
        async with taken_back(self._connection):
            errors = await apply(self._connection, first)
        first = [change for number, change in enumerate(first) if number not in errors]
        usual = await self._attempt(remedy.changes, left_out)
        others = [change for change in remedy.changes if change not in first]
        if not first or tuple(first + others) == remedy.changes:
            return usual
        early = await self._attempt((*first, *others), left_out)
        return early if len(early.excluded) <= len(usual.excluded) else usual

    async def _attempt(
        self, changes: Sequence[Change], left_out: Mapping[Reference, ByHand]
    ) -> _Attempt:
        """Run changes; leave out the objects whose changes fail, and run the others again."""
        excluded = dict(left_out)
        for _ in range(_ROUNDS):
            tried = [change for change in changes if change.reference not in excluded]
            async with taken_back(self._connection):
                errors = await apply(self._connection, tried)
                remaining = compare(self._target, await self._read()) if not errors else []
            reasons = {tried[number].reference: error for number, error in errors.items()}
            if not errors:
                reasons = dict(self._still_different(tried, remaining))
            if not reasons:
                return _Attempt(tuple(tried), excluded, tuple(remaining))
            for reference, reason in reasons.items():
                excluded[reference] = ByHand(reference, reason)
        unsettled = {
            change.reference: ByHand(change.reference, _STILL_DIFFERENT) for change in changes
        }
        return _Attempt((), unsettled, ())

    def _still_different(
        self, tried: Sequence[Change], remaining: Sequence[Difference]
    ) -> Iterator[tuple[Reference, str]]:
        changed = {change.reference for change in tried if change.forwards}
        for difference in remaining:
            for reference in _with_parents(difference.object, self._target):
                if reference in changed:
                    yield reference, _STILL_DIFFERENT
                    break

    async def _read(self) -> Catalog:
        return mark_as_in(await read_catalog(self._connection), self._expected)

    # The result

    def _of(
        self, reference: Reference, remedy: Remedy, current: Catalog
    ) -> tuple[OfferedStatement, ...]:
        changes = [change for change in remedy.changes if change.reference == reference]
        return tuple(_offered(changes, self._expected, current))

    def _by_hand(self, remedy: Remedy, attempt: _Attempt, current: Catalog) -> Iterator[ByHand]:
        wanted = {change.reference for change in remedy.changes}
        told: set[Reference] = set()
        for reference, entry in attempt.excluded.items():
            if reference in wanted:
                told.add(reference)
                if not entry.statements:
                    entry = replace(entry, statements=self._of(reference, remedy, current))
                yield entry
        not_built = attempt.excluded.keys() - told
        remaining = [
            each
            for each in attempt.remaining
            if not_built.isdisjoint(_with_parents(each.object, self._target))
        ]
        for difference in (*remedy.unwritten_forwards, *remaining):
            if told.isdisjoint(_with_parents(difference.object, self._target)):
                told.add(difference.reference)
                yield ByHand(difference.reference, _NO_SQL)


def _with_parents(obj: Object, catalog: Catalog) -> Iterator[Reference]:
    current: Object | None = obj
    while current is not None:
        yield current.reference
        current = catalog.by_reference.get(current.parent)
