"""Derive a migration's level: how it affects other sessions."""

from collections.abc import Iterator, Sequence

from partman.migration.runner.losses import Loss
from partman.plan.model import MODES, Level, Lock, PlannedStatement, Unseen, Work, WorkKind

Reason = tuple[Level, str]

_WEAKEST_THAT_BLOCKS_WRITES = MODES.index("SHARE")
_WEAKEST_THAT_BLOCKS_READS = MODES.index("ACCESS EXCLUSIVE")


def judge(
    statements: Sequence[PlannedStatement], losses: Sequence[Loss], unseen: Sequence[Unseen] = ()
) -> tuple[Level, tuple[str, ...]]:
    """Return the worst level, and the reasons for that level and for what is unseen.

    If that is the worst, also the reasons for the level below it, which are certain.
    """
    reasons: list[Reason] = [(Level.LOSES_DATA, str(loss)) for loss in losses]
    reasons += [(Level.DEPENDS_ON_ROWS, each.reason) for each in unseen]
    for statement in statements:
        reasons += _statement_reasons(statement)
    level = max((level for level, _ in reasons), default=Level.SAFE_LIVE)
    shown = {level, Level.DEPENDS_ON_ROWS}
    if level is Level.DEPENDS_ON_ROWS:
        shown.add(Level.BLOCKS_WRITES)
    return level, tuple(dict.fromkeys(text for of, text in reasons if of in shown))


def _statement_reasons(statement: PlannedStatement) -> Iterator[Reason]:
    for lock in statement.locks:
        if lock.strength >= _WEAKEST_THAT_BLOCKS_WRITES:
            yield Level.BRIEF_LOCK, f"{lock.mode} on {lock.index or lock.table}"
    for unseen in statement.unseen:
        if unseen.is_code or not statement.is_portion:
            yield Level.DEPENDS_ON_ROWS, unseen.reason
    for work in statement.work:
        yield from _blocking_reasons(work, statement.held)
        if work.kind is WorkKind.CHANGE:
            yield _changed_rows(work, statement)


def _blocking_reasons(work: Work, held: Sequence[Lock]) -> Iterator[Reason]:
    """Yield which sessions wait during the work; an earlier statement may have taken the lock."""
    for lock in held:
        locked = lock.index or lock.table
        if lock.strength >= _WEAKEST_THAT_BLOCKS_READS:
            yield Level.BLOCKS_READS, f"blocks reads and writes of {locked} while it {work}"
        elif lock.strength >= _WEAKEST_THAT_BLOCKS_WRITES:
            yield Level.BLOCKS_WRITES, f"blocks writes of {locked} while it {work}"


def _changed_rows(work: Work, statement: PlannedStatement) -> Reason:
    """Return the reason for changed rows, which stay locked until the commit."""
    return (
        Level.BRIEF_LOCK if statement.is_portion else Level.BLOCKS_WRITES,
        f"keeps the rows of {work.table} that it changes locked until the commit",
    )
