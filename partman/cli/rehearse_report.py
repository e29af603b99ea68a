"""A rehearsal, for people."""

from collections.abc import Iterator

from partman.cli import look
from partman.cli.look import Block
from partman.cli.plan_report import (
    FAILED,
    before_the_migrations,
    losses,
    of_migration,
    verdict,
    why,
)
from partman.plan.model import size_in_words
from partman.rehearsal.model import (
    CopyFacts,
    MeasuredStatement,
    Rehearsal,
    RehearsedMigration,
    TimedLock,
)
from partman.wording import counted, in_seconds


def report(found: Rehearsal) -> Iterator[Block]:
    """Yield all of it."""
    version = found.version or "none, no migration is applied"
    if found.migrations:
        yield look.verdict(
            *(FAILED if found.failed else verdict(found.level)),
            f"{counted(len(found.migrations), 'migration')} rehearsed at version {version}",
        )
        if found.copy is not None:
            yield look.said(f"On {copied(found.copy)}")
    else:
        yield look.verdict("nothing pending", look.GOOD, f"The schema version is {version}.")
    yield from before_the_migrations(found.notes, found.not_tried)
    sampled = found.copy is not None and found.copy.sample is not None
    for each in found.migrations:
        yield look.BLANK
        statements = _statements(each.statements, sampled=sampled)
        yield from of_migration(each, statements, _remarks(each))
    if found.migrations:
        times = "Times and locks were measured on the copy, where no other session was waited for."
        if sampled:
            times += " Times on all rows are estimated from those on the sample."
        yield look.BLANK
        yield look.said(times, look.QUIET)


def copied(copy: CopyFacts) -> str:
    """Return what the copy is, in a sentence."""
    parts = [f"{counted(copy.rows, 'row')}, {size_in_words(copy.size)}"]
    if copy.sample:
        parts.insert(0, f"a sample ({copy.sample})")
    if copy.masked:
        parts.append(f"{counted(len(copy.masked), 'column')} masked")
    return f"{copy.origin}: {', '.join(parts)}; made in {in_seconds(copy.seconds)}."


def _statements(statements: tuple[MeasuredStatement, ...], *, sampled: bool) -> Iterator[Block]:
    for number, each in enumerate(statements, 1):
        work = [((text, look.QUIET),) for text in work_of(each)]
        about = (*map(_lock, each.locks), *work)
        yield look.Statement(number, each.sql, time_of(each, sampled=sampled), about)


def time_of(statement: MeasuredStatement, *, sampled: bool) -> str:
    """Return how long a statement took, or on all rows would take."""
    if sampled and statement.estimated > statement.seconds:
        return f"about {in_seconds(statement.estimated)}"
    return in_seconds(statement.seconds)


def _lock(lock: TimedLock) -> look.Line:
    style = look.BAD if lock.blocks_reads else look.WARNING if lock.blocks_writes else look.QUIET
    return (
        (f"{lock.mode.lower()} on {lock.index or lock.table} for {in_seconds(lock.held)}  ", ""),
        (f"blocks {lock.blocks}", style),
    )


def work_of(statement: MeasuredStatement) -> Iterator[str]:
    """Yield what a statement did with rows, and what it wrote."""
    for rows in statement.rows:
        numbers = (
            (rows.read, "read"),
            (rows.inserted, "inserted"),
            (rows.updated, "updated"),
            (rows.deleted, "deleted"),
            (rows.rewritten, "rewritten"),
        )
        said = ", ".join(f"{counted(number, 'row')} {verb}" for number, verb in numbers if number)
        yield f"{rows.table}: {said}"
    if statement.portions > 1:
        yield counted(statement.portions, "portion")
    written = [(statement.wal, "of WAL"), (statement.growth, "more on disk")]
    if any(size >= 1024 * 1024 for size, _ in written):
        yield ", ".join(f"{size_in_words(size)} {what}" for size, what in written if size > 0)


def _remarks(migration: RehearsedMigration) -> Iterator[Block]:
    yield from why(migration, migration.reasons)
    yield from losses(migration)
    if migration.temporary:
        text = f"{size_in_words(migration.temporary)} of temporary files"
        yield look.labelled("temporary", text, look.QUIET)
    if not migration.error:
        yield look.labelled("in all", in_seconds(migration.seconds), look.QUIET)
        yield look.labelled("back", back(migration), look.QUIET)


def back(migration: RehearsedMigration) -> str:
    """Return whether the migration can be reverted and run again."""
    match migration.back.works:
        case True:
            return "reverted and run again: schema and rows were as before"
        case False:
            return f"DOES NOT WORK: {migration.back.why}"
    return f"not tried: {migration.back.why}"
