"""Divide the changes into migration files.

Each app has its own. Piccolo's operations and all brief changes are one migration, with one commit.
Changes that read or write a whole table that may be in use go into an online migration after it.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from partman.catalog.ddl import order
from partman.catalog.ddl.change import Change, Remedy
from partman.catalog.ddl.online import SqlStep, about, is_slow, steps
from partman.catalog.ddl.remedy import plan
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import Catalog, Column, Constraint, Function, Reference, Table
from partman.catalog.render import lines
from partman.errors import BuildFailedError, NotExpressibleError
from partman.migration.autogenerate.app_of_object import AppOfObject
from partman.migration.autogenerate.expand.draft import FirstHalf, its_own, without_expansion
from partman.migration.autogenerate.expand.find import Changed
from partman.migration.autogenerate.piccolo_operations import Operation, Operations
from partman.migration.autogenerate.render import MigrationDraft, bare, with_id
from partman.migration.ledger.files import MigrationFile

_ID = "%Y-%m-%dT%H:%M:%S:%f"
_SECOND = timedelta(seconds=1)

Expand = Callable[[Catalog, Sequence[MigrationDraft]], Awaitable[FirstHalf]]
"""Writes the first half for expanded columns, on the catalog that these migrations lead to."""

Probe = Callable[[list[MigrationDraft]], Awaitable[tuple[Catalog, Catalog | None]]]
"""Runs migrations; returns the catalogs after applying and after reverting them.

The second is None if reverting them cannot lose anything, so that it was not tried.
"""


@dataclass(frozen=True)
class Task:
    """The input for the migrations to be written."""

    asked: dict[str, Operations]
    """Piccolo's operations by app, in the order in which Piccolo migrates the apps."""
    expected: Catalog
    found: Catalog
    app_of: AppOfObject
    description: str
    earlier: Sequence[MigrationFile]
    """The existing migrations."""
    first: tuple[MigrationDraft, ...]
    """Migrations that run before all others."""
    expanded: tuple[Changed, ...] = ()
    """Columns that get another type or name while old and new code both work."""
    verbatim: bool = False

    def plan(self, expected: Catalog, found: Catalog) -> Remedy:
        """Return the changes. Raises NotExpressibleError if a statement for one is unknown."""
        done = plan(expected, found, verbatim=self.verbatim)
        if done.unwritten:
            app = self.app_of(done.unwritten[0].object, expected, found)
            shown = "\n".join(lines(done.unwritten))
            raise NotExpressibleError(
                "No statement is known for some differences between the table classes and the "
                "migrations. Nothing was written. Write this part by hand and run the command "
                f"again for the rest: piccolo migrations new {app}\n{shown}"
            )
        return done


async def compose(task: Task, probe: Probe, expand: Expand) -> list[MigrationDraft]:
    """Return the migrations, in the order in which they run. Raises NotExpressibleError."""
    divided = {app: _divided(each.operations, task.expanded) for app, each in task.asked.items()}
    at_once = [MigrationDraft(app, operations=its.done) for app, its in divided.items() if its.done]
    before, after = await _around_piccolo(
        task, at_once, lambda drafts: probe([*task.first, *drafts])
    )
    own = its_own(task.expanded, task.expected, after) if task.expanded else set()
    target = without_expansion(task.expected, after, own) if own else task.expected
    rest = task.plan(target, after)
    changes = task.app_of.divide(rest.changes, target, after)
    existing = _existing(task.found, after, [its.done for its in divided.values()])
    migrations = [
        each
        for app, its in divided.items()
        for each in (
            MigrationDraft(app, operations=its.renamed, online=True),
            *_of_app(
                task,
                MigrationDraft(app, before=before.get(app, ()), operations=its.done),
                MigrationDraft(app, operations=its.recorded, online=True),
                changes[app],
                existing,
                rest.style,
            ),
        )
    ]
    migrations = [each for each in migrations if each.before or each.operations or each.steps]
    if task.expanded:
        migrations += await _expansions(task, divided, target, [*task.first, *migrations], expand)
    return numbered([*task.first, *migrations], task)


async def _expansions(
    task: Task,
    divided: Mapping[str, "_Divided"],
    target: Catalog,
    drafts: Sequence[MigrationDraft],
    expand: Expand,
) -> list[MigrationDraft]:
    """Return the migration that changes columns while old and new code both work.

    It is the last app's, for it may change columns of several apps. What Piccolo has to know of
    those of the others is in migrations of their own.
    """
    half = await expand(target, drafts)
    apps = [task.app_of(each.after, task.expected, target) for each in task.expanded]
    last = task.app_of.latest(apps)
    return [
        MigrationDraft(
            app,
            operations=its.expanded,
            online=True,
            steps=half.steps if app == last else (),
            requirements=half.requirements if app == last else (),
            suffix="expand",
        )
        for app, its in divided.items()
        if its.expanded or app == last
    ]


def _of_app(
    task: Task,
    at_once: MigrationDraft,
    online: MigrationDraft,
    changes: Sequence[Change],
    existing: Collection[Reference],
    style: SqlStyle,
) -> Iterator[MigrationDraft]:
    """Yield an app's migrations with its changes added."""
    quick, slow = _quick_and_slow(changes, existing)
    if not at_once.operations and (slow or online.operations):
        # Without operations of Piccolo, everything is SQL and stays in one file.
        quick, slow = [], list(changes)
    new_functions = {
        change.created.reference for change in quick if isinstance(change.created, Function)
    }
    new = {each.table for each in at_once.operations if each.name == "add_table"}
    quick = [
        change
        if _calls(task.expected, change, new_functions)
        else _dropped_with_its_table(change, new, existing)
        for change in quick
    ]
    plain = steps(quick, task.expected, (), style)
    later = steps(slow, task.expected, existing, style)
    yield replace(at_once, steps=plain.steps)
    yield replace(online, steps=later.steps, requirements=later.requirements)


@dataclass(frozen=True)
class _Divided:
    """The operations of one app."""

    renamed: tuple[Operation, ...]
    """Renamed classes whose tables stay. Piccolo has to know the new names before the other
    operations.
    """
    done: tuple[Operation, ...]
    """Operations that Piccolo runs."""
    recorded: tuple[Operation, ...]
    """Operations that Piccolo only records, because SQL does them online: constraints of a table
    that may have rows, foreign keys that may need one of these constraints, and what becomes of a
    row that a foreign key refers to.
    """
    expanded: tuple[Operation, ...]
    """Operations that Piccolo only records, because a column is expanded."""


def _divided(operations: Sequence[Operation], columns: Collection[Changed]) -> _Divided:
    expanded = tuple(
        each for each in operations if any(column.is_about(each) for column in columns)
    )
    operations = [each for each in operations if each not in expanded]
    created = {each.table for each in operations if each.name == "add_table"}
    keyed = {
        each.table
        for each in operations
        if each.name == "add_constraint" and each.table not in created
    }
    renamed = tuple(each for each in operations if each.is_about_a_class_only)
    recorded = tuple(
        each
        for each in operations
        if each.is_about_a_key_only
        or (
            each.is_about_a_constraint
            and (each.table not in created or (each.references and each.references in keyed))
        )
    )
    done = tuple(each for each in operations if each not in (*renamed, *recorded))
    return _Divided(renamed, done, recorded, expanded)


async def _around_piccolo(
    task: Task, at_once: list[MigrationDraft], probe: Probe
) -> tuple[dict[str, tuple[SqlStep, ...]], Catalog]:
    """Return the steps to run before Piccolo's operations, by app, and the catalog after these."""
    if not at_once and not task.first:
        return {}, task.found
    before: dict[str, tuple[SqlStep, ...]] = {}
    try:
        after, back = await probe(at_once)
    except BuildFailedError:
        before = _early_drops(task)
        if not before:
            raise
        after, back = await _probe_again(task, at_once, before, probe)
    if back is None:
        return before, after
    # Adding a column again does not restore what was dropped with it.
    lost = task.plan(task.found, back)
    first = [*at_once, *task.first][0].app
    for app, changes in task.app_of.divide(lost.changes, task.found, back).items():
        drops = [replace(each, backwards=each.forwards, forwards=()) for each in reversed(changes)]
        done = steps(drops, task.found, (), lost.style).steps
        # When reverting, the first app comes last.
        app = app if app in {draft.app for draft in at_once} else first
        before[app] = (*before.get(app, ()), *done)
    return before, after


async def _probe_again(
    task: Task,
    at_once: Sequence[MigrationDraft],
    before: Mapping[str, Sequence[SqlStep]],
    probe: Probe,
) -> tuple[Catalog, Catalog | None]:
    """Run Piccolo's operations again after the objects that block them have been dropped."""
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
            f"{drafts[0].app} and {', '.join(late)} depend on each other: an object of the later "
            "app blocks a change in the earlier one, and can only be dropped after it. Nothing "
            "was written. Remove that object from the later app's table classes first, and write "
            f"that migration; then run the command again. {error}"
        ) from error


def _early_drops(task: Task) -> dict[str, tuple[SqlStep, ...]]:
    """Return the drops that Piccolo omits, such as a policy on a dropped column."""
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
    """Return the tables that may have rows: all except those created here."""
    created = {each.table for operations in done for each in operations if each.name == "add_table"}
    return frozenset(
        table.reference
        for table in after.of(Table)
        if table.reference in found.by_reference or bare(table.name) not in created
    )


def _dropped_with_its_table(
    change: Change, new: Collection[str | None], existing: Collection[Reference]
) -> Change:
    """Omit the backwards statements for a table that Piccolo creates, and drops when reverting."""
    table = about(change)
    is_new = bare(table) in new and Reference("table", table) not in existing
    return replace(change, backwards=()) if is_new else change


def _calls(expected: Catalog, change: Change, functions: Collection[Reference]) -> bool:
    """Whether a created or changed object calls one of the functions, which are created earlier."""
    obj = expected.by_reference.get(change.reference)
    return obj is not None and order.depends(obj, functions, expected)


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
    """Whether a change may have to run after an earlier one."""
    if isinstance(change.created, Constraint) and isinstance(other.created, Constraint):
        return change.created.referenced == other.created.parent
    # An object that an index needs, such as a function, is dropped after the index.
    return change.is_early and other.is_early


def numbered(migrations: Sequence[MigrationDraft], task: Task) -> list[MigrationDraft]:
    """Give the migrations IDs that are newer than all others, one second apart."""
    moment = datetime.now().replace(microsecond=0)
    newest = max((file.id for file in task.earlier), default="")
    with contextlib.suppress(ValueError, OverflowError):  # an ID that is no timestamp
        moment = max(moment, datetime.strptime(newest, _ID).replace(microsecond=0) + _SECOND)
    of_app = Counter(each.app for each in migrations)
    return [
        with_id(
            replace(
                each,
                description=", ".join([task.description, *_suffix(each, of_app[each.app])]),
            ),
            _id(moment + number * _SECOND, each.app, task.earlier),
        )
        for number, each in enumerate(migrations)
    ]


def _suffix(migration: MigrationDraft, of_its_app: int) -> list[str]:
    """Return the words that distinguish a migration from the others of its app."""
    if migration.description:
        return [migration.description]
    if migration.suffix:
        return [migration.suffix]
    return ["online"] if migration.online and of_its_app > 1 else []


def _id(moment: datetime, app: str, earlier: Iterable[MigrationFile]) -> str:
    """Return an ID that Piccolo sorts after the app's earlier IDs, whatever their format."""
    stamp = moment.strftime(_ID)
    newest = max((file.id for file in earlier if file.app == app), default="")
    return stamp if stamp > newest else f"{newest} {stamp}"
