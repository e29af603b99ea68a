"""A plan, for people: in colours on a terminal, as plain text in a pipe."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from partman.database.explain import shortened
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
    Level.SAFE_LIVE: "green",
    Level.BRIEF_LOCK: "cyan",
    Level.BLOCKS_WRITES: "yellow",
    Level.DEPENDS_ON_ROWS: "magenta",
    Level.BLOCKS_READS: "bold red",
    Level.LOSES_DATA: "bold white on red",
}
FAILED = "bold red"
_SEEN_OUTSIDE = "*"
WIDEST = 120

Remark: TypeAlias = tuple[str, str, str]
"""A label, what there is to say, and the label's style."""


def show(plan: Plan, file: TextIO) -> None:
    """Print all of it."""
    console = Console(file=file, highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDEST)
    for migration in plan.migrations:
        _show_migration(console, migration, plan)
    for text in _closing(plan):
        console.print(text)


def _show_migration(console: Console, migration: PlannedMigration, plan: Plan) -> None:
    statements = _statements(migration.statements) if migration.statements else None
    show_migration(console, migration, statements, _remarks(migration, plan))


def show_migration(
    console: Console,
    migration: "PlannedMigration | RehearsedMigration",
    statements: Table | None,
    remarks: Iterable[Remark],
) -> None:
    """Print a migration's verdict, its statements, and the remarks about it."""
    console.print(
        Text.assemble(
            _verdict(migration), "  ", (migration.id, "bold"), "  ", migration.description
        )
    )
    if statements is not None:
        console.print(statements)
    for label, said, style in remarks:
        line = Table.grid(padding=(0, 2))
        line.add_column(width=11, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(Text(f"  {label}", style=style), Text(said))
        console.print(line)
    console.print()


def _verdict(migration: "PlannedMigration | RehearsedMigration") -> Text:
    if migration.error:
        return Text("fails", style=FAILED)
    return Text(migration.level.title, style=STYLES[migration.level])


def _statements(statements: tuple[PlannedStatement, ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(justify="right", style="dim", width=6)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", style="dim", no_wrap=True, width=9)
    for number, each in enumerate(statements, 1):
        table.add_row(str(number), shortened(each.sql), f"{each.duration * 1000:.1f} ms")
        for line in _locks(each):
            table.add_row("", line, "")
    return table


def _locks(statement: PlannedStatement) -> Iterator[Text]:
    """Say which locks it took, as far as somebody else could notice them."""
    mark = _SEEN_OUTSIDE if statement.measured is Measured.OUTSIDE else ""
    taken = {
        f"{lock.mode.lower()}{mark} on {lock.index or lock.table}": lock
        for lock in statement.locks
        if lock.mode != "ACCESS SHARE"
    }
    width = max(map(len, taken), default=0)
    for said, lock in taken.items():
        yield Text.assemble(f"  {said:<{width}}  ", (f"blocks {lock.blocks}", _urgency(lock)))


def _urgency(lock: Lock) -> str:
    if "reads" in lock.blocks:
        return "red"
    return "yellow" if "writes" in lock.blocks else "dim"


def _remarks(migration: PlannedMigration, plan: Plan) -> Iterator[Remark]:
    if migration.error:
        yield "fails", migration.error, FAILED
    for reason in migration.reasons if migration.level > Level.SAFE_LIVE else ():
        yield "because", reason, STYLES[migration.level]
    yield from (("work", text, "dim") for text in work_of(migration, plan))
    yield from (("values", sentence, "dim") for sentence in migration.conversions)
    for index in migration.invalid_indexes:
        yield "invalid", f"{index} is left unusable", FAILED
    if migration.losses:
        yield "guard", guard(migration), STYLES[Level.LOSES_DATA]
    for rule, where in _squawk(migration).items():
        lines = ", ".join(map(str, where))
        yield "squawk", f"{rule} (line {lines})", "dim"
    if not migration.error:
        yield "back", back(migration), "dim"


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


def _closing(plan: Plan) -> Iterator[Text]:
    for note in plan.notes:
        yield Text(f"Note: {note}")
    for each in plan.not_tried:
        yield Text(f"Not tried, because an earlier migration fails: {each}")
    version = plan.version or "none, no migration is applied"
    if not plan.migrations:
        yield Text(f"Nothing is pending. The schema version is {version}.")
        return
    if any(each.measured is Measured.OUTSIDE for of in plan.migrations for each in of.statements):
        yield Text(
            f"{_SEEN_OUTSIDE} It runs in no transaction; another session saw the lock.", style="dim"
        )
    yield Text(
        "Locks and work are what PostgreSQL did on a scratch database; times are of one without "
        "rows. A transaction keeps its locks to its end.",
        style="dim",
    )
    worst = "fails" if plan.failed else plan.level.title
    yield Text.assemble(
        f"{counted(len(plan.migrations), 'migration')} tried at version {version}: ",
        (worst, FAILED if plan.failed else STYLES[plan.level]),
        "" if plan.rows_seen else "; no rows were seen",
    )
