"""Divides what is to be done into migrations.

Each app has its own. What Piccolo does, and all that takes only a moment, is one migration and one
commit. What reads or writes a whole table, on which others work meanwhile, is an online migration
that comes after.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from partman.catalog.ddl import order
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.dependents import referred
from partman.catalog.ddl.online import SqlStep, about, is_slow, steps
from partman.catalog.ddl.remedy import plan
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import Catalog, Column, Constraint, Function, Reference, Table
from partman.catalog.render import lines
from partman.errors import BuildFailedError, NotExpressibleError
from partman.migration.autogenerate.app_of_object import AppOfObject
from partman.migration.autogenerate.piccolo_operations import Operation, Operations
from partman.migration.autogenerate.render import MigrationDraft, bare
from partman.migration.ledger.files import MigrationFile

_ID = "%Y-%m-%dT%H:%M:%S:%f"
_SECOND = timedelta(seconds=1)

Probe = Callable[[list[MigrationDraft]], Awaitable[tuple[Catalog, Catalog]]]
"""Runs migrations; returns what there is after them, and what there is after going back."""


@dataclass(frozen=True)
class Task:
    """What is to be written."""

    asked: dict[str, Operations]
    """What Piccolo would do, by app, in the order in which it migrates them."""
    expected: Catalog
    found: Catalog
    app_of: AppOfObject
    description: str
    earlier: Sequence[MigrationFile]
    """The migrations that there are."""
    first: tuple[MigrationDraft, ...]
    """What runs before all others."""
    literally: bool = False

    def plan(self, expected: Catalog, found: Catalog) -> Remedy:
        """Return what is to be done. Raises NotExpressibleError where nobody knows how."""
        done = plan(expected, found, literally=self.literally)
        if done.unwritten:
            app = self.app_of(done.unwritten[0].object, expected, found)
            shown = "\n".join(lines(done.unwritten))
            raise NotExpressibleError(
                "The table classes and the migrations differ in what no statement is known for. "
                "Nothing was written. Write this part by hand, and type the command again for "
                f"the rest: piccolo migrations new {app}\n{shown}"
            )
        return done


async def compose(task: Task, probe: Probe) -> list[MigrationDraft]:
    """Return the migrations, in the order in which they run. Raises NotExpressibleError."""
    divided = {app: _divided(each.operations) for app, each in task.asked.items()}
    at_once = [MigrationDraft(app, operations=its.done) for app, its in divided.items() if its.done]
    before, after = await _around_piccolo(
        task, at_once, lambda drafts: probe([*task.first, *drafts])
    )
    rest = task.plan(task.expected, after)
    changes = task.app_of.divide(rest.changes, task.expected, after)
    existing = _existing(task.found, after, [its.done for its in divided.values()])
    migrations = [
        each
        for app, its in divided.items()
        for each in (
            MigrationDraft(app, operations=its.renamed, online=True),
            *_of_app(
                task,
                MigrationDraft(app, before=before.get(app, ()), operations=its.done),
                MigrationDraft(app, operations=its.told, online=True),
                changes[app],
                existing,
                rest.say,
            ),
        )
    ]
    migrations = [each for each in migrations if each.before or each.operations or each.steps]
    return _numbered([*task.first, *migrations], task)


def _of_app(
    task: Task,
    at_once: MigrationDraft,
    online: MigrationDraft,
    changes: Sequence[Change],
    existing: Collection[Reference],
    say: SqlStyle,
) -> Iterator[MigrationDraft]:
    """Add an app's changes to its migrations."""
    quick, slow = _quick_and_slow(changes, existing)
    if not at_once.operations and (slow or online.operations):
        # There is only SQL: it stays together.
        quick, slow = [], list(changes)
    made = [change.made for change in quick if isinstance(change.made, Function)]
    new = {each.table for each in at_once.operations if each.name == "add_table"}
    quick = [
        change
        if _calls(task.expected, change, made)
        else _dropped_with_its_table(change, new, existing)
        for change in quick
    ]
    plain = steps(quick, task.expected, (), say)
    later = steps(slow, task.expected, existing, say)
    yield replace(at_once, steps=plain.steps)
    yield replace(online, steps=later.steps, rules=later.rules)


@dataclass(frozen=True)
class _Divided:
    """The operations of an app."""

    renamed: tuple[Operation, ...]
    """Classes that are renamed whose tables stay. Piccolo has to know the names before the rest."""
    done: tuple[Operation, ...]
    """What Piccolo does."""
    told: tuple[Operation, ...]
    """What it is only told of: the constraints of a table that rows can be in, for they are added
    online. And a foreign key that may need one of them."""


def _divided(operations: Sequence[Operation]) -> _Divided:
    created = {each.table for each in operations if each.name == "add_table"}
    keyed = {
        each.table
        for each in operations
        if each.name == "add_constraint" and each.table not in created
    }
    renamed = tuple(each for each in operations if each.is_about_a_class_only)
    told = tuple(
        each
        for each in operations
        if each.is_about_a_constraint
        and (each.table not in created or (each.references and each.references in keyed))
    )
    done = tuple(each for each in operations if each not in (*renamed, *told))
    return _Divided(renamed, done, told)


async def _around_piccolo(
    task: Task, at_once: list[MigrationDraft], probe: Probe
) -> tuple[dict[str, tuple[SqlStep, ...]], Catalog]:
    """Return what has to run before Piccolo's operations, by app, and what there is after them."""
    if not at_once and not task.first:
        return {}, task.found
    before: dict[str, tuple[SqlStep, ...]] = {}
    try:
        after, back = await probe(at_once)
    except BuildFailedError:
        before = _out_of_the_way(task)
        if not before:
            raise
        after, back = await _probe_again(task, at_once, before, probe)
    # What goes with a column does not come back with it.
    lost = task.plan(task.found, back)
    first = [*at_once, *task.first][0].app
    for app, changes in task.app_of.divide(lost.changes, task.found, back).items():
        again = [replace(one, backwards=one.forwards, forwards=()) for one in reversed(changes)]
        done = steps(again, task.found, (), lost.say).steps
        # Going back, the first app comes last.
        app = app if app in {draft.app for draft in at_once} else first
        before[app] = (*before.get(app, ()), *done)
    return before, after


async def _probe_again(
    task: Task,
    at_once: Sequence[MigrationDraft],
    before: Mapping[str, Sequence[SqlStep]],
    probe: Probe,
) -> tuple[Catalog, Catalog]:
    """Run Piccolo's operations once what is in their way has been dropped."""
    operations = {draft.app: draft.operations for draft in at_once}
    drafts = [
        MigrationDraft(app, before=tuple(before.get(app, ())), operations=operations.get(app, ()))
        for app in task.asked
        if app in before or app in operations
    ]
    try:
        return await probe(drafts)
    except BuildFailedError as error:
        late = [app for app in before if app != drafts[0].app]
        if not late:
            raise
        raise NotExpressibleError(
            f"{drafts[0].app} and {', '.join(late)} need each other in one step: something of the "
            "later app is in the way of what changes in the earlier one, and can only be dropped "
            "after it. Nothing was written. Take it out of the later app's table classes first, "
            f"and write that migration; then type the command again. {error}"
        ) from error


def _out_of_the_way(task: Task) -> dict[str, tuple[SqlStep, ...]]:
    """Return the drops that Piccolo does not do, as of a policy on a column that goes."""
    changes = task.plan(task.expected, task.found).changes
    return {
        app: drops
        for app, of_app in task.app_of.divide(changes, task.expected, task.found).items()
        if (
            drops := tuple(
                SqlStep(change.forwards, change.backwards, change.reference.name)
                for change in of_app
                if change.is_early
                and change.forwards
                and not isinstance(change.dropped, Table | Column)
            )
        )
    }


def _existing(
    found: Catalog, after: Catalog, done: Iterable[tuple[Operation, ...]]
) -> frozenset[Reference]:
    """Return the tables that rows can be in: not those that are made here."""
    created = {each.table for operations in done for each in operations if each.name == "add_table"}
    return frozenset(
        one.reference
        for one in after.of(Table)
        if one.reference in found.by_reference or bare(one.name) not in created
    )


def _dropped_with_its_table(
    change: Change, new: Collection[str | None], existing: Collection[Reference]
) -> Change:
    """Leave out how to undo what is done to a table that Piccolo makes, and drops."""
    table = about(change)
    is_new = bare(table) in new and Reference("table", table) not in existing
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


def _numbered(migrations: Sequence[MigrationDraft], task: Task) -> list[MigrationDraft]:
    """Give them IDs that are newer than all others, a second apart."""
    moment = datetime.now().replace(microsecond=0)
    newest = max((file.id for file in task.earlier), default="")
    with contextlib.suppress(ValueError, OverflowError):  # an ID that somebody has thought of
        moment = max(moment, datetime.strptime(newest, _ID).replace(microsecond=0) + _SECOND)
    of_app = Counter(each.app for each in migrations)
    return [
        replace(
            each,
            id=_id(moment + number * _SECOND, each.app, task.earlier),
            description=", ".join([task.description, *_suffix(each, of_app[each.app])]),
        )
        for number, each in enumerate(migrations)
    ]


def _suffix(migration: MigrationDraft, of_its_app: int) -> list[str]:
    """Return what tells it from the others of its app."""
    if migration.description:
        return [migration.description]
    return ["online"] if migration.online and of_its_app > 1 else []


def _id(moment: datetime, app: str, earlier: Iterable[MigrationFile]) -> str:
    """Return an ID that Piccolo sorts behind those of the app, whatever these look like."""
    stamp = moment.strftime(_ID)
    newest = max((file.id for file in earlier if file.app == app), default="")
    return stamp if stamp > newest else f"{newest} {stamp}"
