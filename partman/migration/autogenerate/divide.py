"""Divides what is to be done into migrations.

What Piccolo does, and all that takes only a moment, is one migration and one commit. What reads
or writes a whole table, on which others work meanwhile, is an online migration that comes after.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from partman.catalog.ddl import order
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.dependents import referred
from partman.catalog.ddl.online import SqlStep, about, is_slow, steps
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Column, Constraint, Function, Reference, Table
from partman.catalog.render import lines
from partman.errors import BuildFailedError, NotExpressibleError
from partman.migration.autogenerate.piccolo_operations import Operation, Operations
from partman.migration.autogenerate.render import MigrationDraft

_ID = "%Y-%m-%dT%H:%M:%S:%f"

Probe = Callable[[list[MigrationDraft]], Awaitable[tuple[Catalog, Catalog]]]
"""Runs migrations; returns what there is after them, and what there is after going back."""


@dataclass(frozen=True)
class Task:
    """What is to be written."""

    asked: dict[str, Operations]
    """What Piccolo would do, by app. The first one is given the SQL."""
    expected: Catalog
    found: Catalog
    description: str
    newest: str
    """The ID of the newest migration that there is."""
    literally: bool

    def plan(self, expected: Catalog, found: Catalog) -> Remedy:
        """Return what is to be done. Raises NotExpressibleError where nobody knows how."""
        done = plan(expected, found, literally=self.literally)
        if done.unwritten:
            shown = "\n".join(lines(done.unwritten))
            raise NotExpressibleError(
                "The table classes and the migrations differ in what no statement is known for. "
                "Nothing was written. Write this part by hand, and type the command again for "
                f"the rest: piccolo migrations new {next(iter(self.asked))}\n{shown}"
            )
        return done


async def compose(task: Task, probe: Probe) -> list[MigrationDraft]:
    """Return the migrations, in the order in which they run. Raises NotExpressibleError."""
    done, told = {}, {}
    for app, operations in task.asked.items():
        done[app], told[app] = _divided(operations.operations)
    at_once = [MigrationDraft(app, operations=each) for app, each in done.items() if each]
    before, after = await _around_piccolo(task, at_once, probe)
    rest = task.plan(task.expected, after)
    existing = _existing(after, done.values())
    quick, slow = _quick_and_slow(rest.changes, existing)
    if not at_once and (slow or any(told.values())):
        # There is only SQL: it stays together.
        quick, slow = [], list(rest.changes)
    main = next(iter(task.asked))
    made = [change.made for change in quick if isinstance(change.made, Function)]
    quick = [
        change
        if _calls(task.expected, change, made)
        else _dropped_with_its_table(change, after, existing)
        for change in quick
    ]
    plain = steps(quick, task.expected, (), rest.say)
    online = steps(slow, task.expected, existing, rest.say)
    migrations = [
        *(MigrationDraft(app, operations=done[app]) for app in task.asked),
        *(MigrationDraft(app, operations=told[app], online=True) for app in task.asked),
    ]
    migrations = [
        each
        if each.app != main
        else replace(each, steps=online.steps, rules=online.rules)
        if each.online
        else replace(each, steps=plain.steps, before=before)
        for each in migrations
    ]
    return _numbered(
        [each for each in migrations if each.before or each.operations or each.steps], task
    )


def _divided(
    operations: Iterable[Operation],
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """Return what Piccolo does, and the constraints that it is told of.

    Those of a table that rows can be in, for they are added online. And a foreign key that may
    need one of them.
    """
    created = {each.table for each in operations if each.name == "add_table"}
    keyed = {
        each.table
        for each in operations
        if each.name == "add_constraint" and each.table not in created
    }
    told = tuple(
        each
        for each in operations
        if each.is_about_a_constraint
        and (each.table not in created or (each.references and each.references in keyed))
    )
    return tuple(each for each in operations if each not in told), told


async def _around_piccolo(
    task: Task, at_once: list[MigrationDraft], probe: Probe
) -> tuple[tuple[SqlStep, ...], Catalog]:
    """Return what has to run before Piccolo's operations, and what there is after them."""
    if not at_once:
        return (), task.found
    before: tuple[SqlStep, ...] = ()
    try:
        after, back = await probe(at_once)
    except BuildFailedError:
        before = _out_of_the_way(task.plan(task.expected, task.found).changes)
        if not before:
            raise
        after, back = await probe([replace(at_once[0], before=before), *at_once[1:]])
    # What goes with a column does not come back with it.
    lost = task.plan(task.found, back).changes
    again = [replace(change, backwards=change.forwards, forwards=()) for change in reversed(lost)]
    return (*before, *steps(again, task.found, (), plan(task.found, back).say).steps), after


def _out_of_the_way(changes: Iterable[Change]) -> tuple[SqlStep, ...]:
    """Return the drops that Piccolo does not do, as of a policy on a column that goes."""
    return tuple(
        SqlStep(change.forwards, change.backwards, change.reference.name)
        for change in changes
        if change.is_early and change.forwards and not isinstance(change.dropped, Table | Column)
    )


def _existing(after: Catalog, done: Iterable[tuple[Operation, ...]]) -> frozenset[Reference]:
    """Return the tables that rows can be in: not those that are made here."""
    created = {each.table for operations in done for each in operations if each.name == "add_table"}
    return frozenset(
        one.reference for one in after.of(Table) if one.name.rpartition(".")[2] not in created
    )


def _dropped_with_its_table(
    change: Change, after: Catalog, existing: Collection[Reference]
) -> Change:
    """Leave out how to undo what is done to a table that Piccolo makes, and drops."""
    table = Reference("table", about(change))
    is_new = table in after.by_reference and table not in existing
    return replace(change, backwards=()) if is_new else change


def _calls(expected: Catalog, change: Change, functions: Iterable[Function]) -> bool:
    """Whether what is made or changed needs one of the functions, which go before a table does."""
    one = expected.by_reference.get(change.reference)
    return one is not None and order.calls(one, functions, expected)


def _quick_and_slow(
    changes: Iterable[Change], existing: Collection[Reference]
) -> tuple[list[Change], list[Change]]:
    quick: list[Change] = []
    slow: list[Change] = []
    for change in changes:
        waits = is_slow(change, existing) or any(_needs(change, each) for each in slow)
        (slow if waits else quick).append(change)
    return quick, slow


def _needs(change: Change, other: Change) -> bool:
    """Whether a change may have to come after one that came before it."""
    if isinstance(change.made, Constraint) and isinstance(other.made, Constraint):
        return referred(change.made) == other.made.parent
    # What an index needs, as a function, is dropped after it.
    return change.is_early and other.is_early


def _numbered(migrations: list[MigrationDraft], task: Task) -> list[MigrationDraft]:
    """Give them IDs that are newer than all others, a second apart."""
    moment = datetime.now().replace(microsecond=0)
    with contextlib.suppress(ValueError):  # somebody writes IDs of his own
        newest = datetime.strptime(task.newest, _ID).replace(microsecond=0)
        moment = max(moment, newest + timedelta(seconds=1))
    numbered = []
    for number, each in enumerate(migrations):
        word = ", online" if each.online and len(migrations) > 1 else ""
        numbered.append(
            replace(
                each,
                id=(moment + timedelta(seconds=number)).strftime(_ID),
                description=f"{task.description}{word}",
            )
        )
    return numbered
