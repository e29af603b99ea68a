"""Derive a migration's level: how it affects other sessions."""

from collections.abc import Iterator, Sequence

from partman.migration.runner.losses import Loss
from partman.plan.model import MODES, Level, Lock, PlannedStatement, Work, WorkKind
from partman.plan.sql import has_conditions

Reason = tuple[Level, str]

_WEAKEST_THAT_BLOCKS_WRITES = MODES.index("SHARE")
_WEAKEST_THAT_BLOCKS_READS = MODES.index("ACCESS EXCLUSIVE")


def judge(
    statements: Sequence[PlannedStatement], losses: Sequence[Loss]
) -> tuple[Level, tuple[str, ...]]:
    """Return the worst level among the statements and losses, and the reasons for that level."""
    reasons: list[Reason] = [(Level.LOSES_DATA, str(loss)) for loss in losses]
    for statement in statements:
        reasons += _statement_reasons(statement)
    level = max((level for level, _ in reasons), default=Level.SAFE_LIVE)
    return level, tuple(dict.fromkeys(text for of, text in reasons if of is level))


def _statement_reasons(statement: PlannedStatement) -> Iterator[Reason]:
    for lock in statement.locks:
        if lock.strength >= _WEAKEST_THAT_BLOCKS_WRITES:
            yield Level.BRIEF_LOCK, f"{lock.mode} on {lock.index or lock.table}"
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
    """Return the reason for changed rows, which stay locked until the commit.

    Their number is unknown. A step with a WHERE clause counts as one portion of a few rows.
    """
    few = statement.step and has_conditions(statement.sql)
    return (
        Level.BRIEF_LOCK if few else Level.BLOCKS_WRITES,
        f"keeps the rows of {work.table} that it changes locked until the commit",
    )
