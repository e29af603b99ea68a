"""A plan, for people."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from partman.cli import look
from partman.cli.look import Block
from partman.plan.model import (
    Level,
    Lock,
    Measured,
    Plan,
    PlannedMigration,
    PlannedStatement,
    size_in_words,
)
from partman.wording import counted

if TYPE_CHECKING:
    from partman.rehearsal.model import RehearsedMigration

STYLES = {
    Level.SAFE_LIVE: look.GOOD,
    Level.BRIEF_LOCK: look.BRIEF,
    Level.BLOCKS_WRITES: look.WARNING,
    Level.DEPENDS_ON_ROWS: "magenta",
    Level.BLOCKS_READS: look.BAD,
    Level.LOSES_DATA: "bold white on red",
}
FAILED: look.Span = ("fails", look.BAD)
_SEEN_OUTSIDE = "*"


def report(plan: Plan) -> Iterator[Block]:
    """Yield all of it."""
    version = plan.version or "none, no migration is applied"
    if plan.migrations:
        yield look.verdict(
            *(FAILED if plan.failed else verdict(plan.level)),
            f"{counted(len(plan.migrations), 'migration')} tried at version {version}"
            f"{'' if plan.rows_seen else '; no rows were seen'}",
        )
    else:
        yield look.verdict("nothing pending", look.GOOD, f"The schema version is {version}.")
    yield from before_the_migrations(plan.notes, plan.not_tried)
    for each in plan.migrations:
        yield look.BLANK
        yield from of_migration(each, _statements(each.statements), _remarks(each, plan))
    if plan.migrations:
        yield look.BLANK
        yield from _small_print(plan)


def before_the_migrations(notes: Iterable[str], not_tried: Iterable[str]) -> Iterator[Block]:
    """Yield what is to be known before single migrations are read."""
    yield from map(look.note, notes)
    for each in not_tried:
        yield look.said(f"Not tried, because an earlier migration fails: {each}", look.WARNING)


def verdict(level: Level) -> look.Span:
    """Return a verdict in words, and its style."""
    return level.title, STYLES[level]


def of_migration(
    migration: "PlannedMigration | RehearsedMigration",
    statements: Iterable[Block],
    remarks: Iterable[Block],
) -> Iterator[Block]:
    """Yield a migration's verdict, its statements, and the remarks about it."""
    yield look.Prose(
        (
            FAILED if migration.error else verdict(migration.level),
            ("  ", look.PLAIN),
            (migration.id, look.STRONG),
            (f"  {migration.description}", look.PLAIN),
        ),
        hanging=2,
    )
    yield from statements
    yield from remarks


def _small_print(plan: Plan) -> Iterator[Block]:
    if any(each.measured is Measured.OUTSIDE for of in plan.migrations for each in of.statements):
        yield look.said(
            f"{_SEEN_OUTSIDE} It runs in no transaction; another session saw the lock.", look.QUIET
        )
    yield look.said(
        "Locks and work are what PostgreSQL did on a scratch database; times are of one without "
        "rows. A transaction keeps its locks to its end.",
        look.QUIET,
    )


def _statements(statements: Iterable[PlannedStatement]) -> Iterator[Block]:
    for number, each in enumerate(statements, 1):
        took = f"{each.duration * 1000:.1f} ms"
        yield look.Statement(number, each.sql, took, tuple(_locks(each)))


def _locks(statement: PlannedStatement) -> Iterator[look.Line]:
    """Say which locks it took, as far as somebody else could notice them."""
    mark = _SEEN_OUTSIDE if statement.measured is Measured.OUTSIDE else ""
    taken = {
        f"{lock.mode.lower()}{mark} on {lock.index or lock.table}": lock
        for lock in statement.locks
        if lock.mode != "ACCESS SHARE"
    }
    width = max(map(len, taken), default=0)
    for said, lock in taken.items():
        yield (f"{said:<{width}}  ", look.PLAIN), (f"blocks {lock.blocks}", _urgency(lock))


def _urgency(lock: Lock) -> str:
    if "reads" in lock.blocks:
        return look.BAD
    return look.WARNING if "writes" in lock.blocks else look.QUIET


def _remarks(migration: PlannedMigration, plan: Plan) -> Iterator[Block]:
    reasons = migration.reasons if migration.level > Level.SAFE_LIVE else ()
    yield from why(migration, reasons)
    for text in work_of(migration, plan):
        yield look.labelled("work", text, look.QUIET)
    for sentence in migration.conversions:
        yield look.labelled("values", sentence, look.QUIET)
    for index in migration.invalid_indexes:
        yield look.labelled("invalid", f"{index} is left unusable", look.BAD)
    yield from losses(migration)
    for rule, where in _squawk(migration).items():
        lines = ", ".join(map(str, where))
        yield look.labelled("squawk", f"{rule} (line {lines})", look.QUIET)
    if not migration.error:
        yield look.labelled("back", back(migration), look.QUIET)


def why(
    migration: "PlannedMigration | RehearsedMigration", reasons: Iterable[str]
) -> Iterator[Block]:
    """Yield what a verdict is based on."""
    if migration.error:
        yield look.labelled("fails", migration.error, look.BAD)
    for reason in reasons:
        yield look.labelled("because", reason, STYLES[migration.level])


def losses(migration: "PlannedMigration | RehearsedMigration") -> Iterator[Block]:
    """Yield what the guard would do about losses, if there are any."""
    if migration.losses:
        yield look.labelled("guard", guard(migration), STYLES[Level.LOSES_DATA])


def work_of(migration: PlannedMigration, plan: Plan) -> Iterator[str]:
    """Yield what takes longer the more rows there are, with the size of the table."""
    for work in dict.fromkeys(work for each in migration.statements for work in each.work):
        size = plan.sizes.get(work.table)
        live = f"; {work.table} is {size_in_words(size)} live" if size is not None else ""
        yield f"{work}{live}"


def guard(migration: "PlannedMigration | RehearsedMigration") -> str:
    """Return what the guard would do about losses."""
    if migration.may_lose_data:
        return "would warn, and let it pass"
    return f"would refuse it (exit code 11), unless PARTMAN_ALLOW_DATA_LOSS={migration.id}"


def back(migration: PlannedMigration) -> str:
    """Return whether the migration can be reverted."""
    match migration.reversal.works:
        case True:
            return "reversible: it gives the schema that was there before"
        case False:
            return f"NOT reversible: {migration.reversal.why}"
    return f"not tried: {migration.reversal.why}"


def _squawk(migration: PlannedMigration) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for each in migration.findings:
        if each.line not in found[each.rule]:
            found[each.rule].append(each.line)
    return found
