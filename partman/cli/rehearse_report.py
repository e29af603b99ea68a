"""A rehearsal, for people: in colours on a terminal, as plain text in a pipe."""

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from partman.cli.plan_report import FAILED, STYLES, WIDEST, Remark, guard, show_migration
from partman.database.explain import shortened
from partman.plan.model import Level, size_in_words
from partman.rehearsal.model import (
    CopyFacts,
    MeasuredStatement,
    Rehearsal,
    RehearsedMigration,
    TimedLock,
)
from partman.wording import counted, in_seconds


def show(found: Rehearsal, file: TextIO) -> None:
    """Print all of it."""
    console = Console(file=file, highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDEST)
    if found.copy is not None and found.migrations:
        console.print(Text(f"On {copied(found.copy)}"))
        console.print()
    sampled = found.copy is not None and found.copy.sample is not None
    for migration in found.migrations:
        _show_migration(console, migration, sampled=sampled)
    for text in _closing(found):
        console.print(text)


def copied(copy: CopyFacts) -> str:
    """Return what the copy is, in a sentence."""
    parts = [f"{counted(copy.rows, 'row')}, {size_in_words(copy.size)}"]
    if copy.sample:
        parts.insert(0, f"a sample ({copy.sample})")
    if copy.masked:
        parts.append(f"{counted(len(copy.masked), 'column')} masked")
    return f"{copy.origin}: {', '.join(parts)}; made in {in_seconds(copy.seconds)}."


def _show_migration(console: Console, migration: RehearsedMigration, *, sampled: bool) -> None:
    statements = None
    if migration.statements:
        statements = _statements(migration.statements, sampled=sampled)
    show_migration(console, migration, statements, _remarks(migration))


def _statements(statements: tuple[MeasuredStatement, ...], *, sampled: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(justify="right", style="dim", width=6)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", style="dim", no_wrap=True, width=12)
    for number, each in enumerate(statements, 1):
        table.add_row(str(number), shortened(each.sql, 85), time_of(each, sampled=sampled))
        for line in (*map(_lock, each.locks), *(Text(f"  {of}", "dim") for of in work_of(each))):
            table.add_row("", line, "")
    return table


def time_of(statement: MeasuredStatement, *, sampled: bool) -> str:
    """Return how long a statement took, or on all rows would take."""
    if sampled and statement.estimated > statement.seconds:
        return f"about {in_seconds(statement.estimated)}"
    return in_seconds(statement.seconds)


def _lock(lock: TimedLock) -> Text:
    style = "red" if lock.blocks_reads else "yellow" if lock.blocks_writes else "dim"
    return Text.assemble(
        f"  {lock.mode.lower()} on {lock.index or lock.table} for {in_seconds(lock.held)}  ",
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


def _remarks(migration: RehearsedMigration) -> Iterator[Remark]:
    if migration.error:
        yield "fails", migration.error, FAILED
    for reason in migration.reasons:
        yield "because", reason, STYLES[migration.level]
    if migration.losses:
        yield "guard", guard(migration), STYLES[Level.LOSES_DATA]
    if migration.temporary:
        yield "temporary", f"{size_in_words(migration.temporary)} of temporary files", "dim"
    if not migration.error:
        yield "in all", in_seconds(migration.seconds), "dim"
        yield "back", back(migration), "dim"


def back(migration: RehearsedMigration) -> str:
    """Return whether the migration can be reverted and run again."""
    match migration.back.works:
        case True:
            return "reverted and run again: schema and rows were as before"
        case False:
            return f"DOES NOT WORK: {migration.back.why}"
    return f"not tried: {migration.back.why}"


def _closing(found: Rehearsal) -> Iterator[Text]:
    for note in found.notes:
        yield Text(f"Note: {note}")
    for each in found.not_tried:
        yield Text(f"Not tried, because an earlier migration fails: {each}")
    version = found.version or "none, no migration is applied"
    if not found.migrations:
        yield Text(f"Nothing is pending. The schema version is {version}.")
        return
    times = "Times and locks were measured on the copy, where no other session was waited for."
    if found.copy is not None and found.copy.sample is not None:
        times += " Times on all rows are estimated from those on the sample."
    yield Text(times, style="dim")
    worst = "fails" if found.failed else found.level.title
    yield Text.assemble(
        f"{counted(len(found.migrations), 'migration')} rehearsed at version {version}: ",
        (worst, FAILED if found.failed else STYLES[found.level]),
    )
