"""What the statements of a migration come to for those who use the database."""

import re
from collections.abc import Iterator, Sequence

from partman.migration.runner.guard import Loss
from partman.plan.model import MODES, Kind, Level, Lock, PlannedStatement, Work

Reason = tuple[Level, str]

_WEAKEST_THAT_BLOCKS_WRITES = MODES.index("SHARE")
_WEAKEST_THAT_BLOCKS_READS = MODES.index("ACCESS EXCLUSIVE")


def judge(
    statements: Sequence[PlannedStatement], losses: Sequence[Loss]
) -> tuple[Level, tuple[str, ...]]:
    """Return the level, and why it is that one."""
    found: list[Reason] = [(Level.LOSES_DATA, str(loss)) for loss in losses]
    for statement in statements:
        found += _of_a_statement(statement)
    level = max((level for level, _ in found), default=Level.SAFE_LIVE)
    return level, tuple(dict.fromkeys(why for of, why in found if of is level))


def _of_a_statement(statement: PlannedStatement) -> Iterator[Reason]:
    for lock in statement.locks:
        if lock.strength >= _WEAKEST_THAT_BLOCKS_WRITES:
            yield Level.BRIEF_LOCK, f"{lock.mode} on {lock.index or lock.table}"
    for work in statement.work:
        yield from _while_it_works(work, statement.held)
        if work.kind is Kind.CHANGE:
            yield _changed_rows(work, statement)


def _while_it_works(work: Work, held: Sequence[Lock]) -> Iterator[Reason]:
    """Return what waits for the work, also for a lock that an earlier statement took."""
    for lock in held:
        what = lock.index or lock.table
        if lock.strength >= _WEAKEST_THAT_BLOCKS_READS:
            yield Level.BLOCKS_READS, f"nobody reads or writes {what} while it {work}"
        elif lock.strength >= _WEAKEST_THAT_BLOCKS_WRITES:
            yield Level.BLOCKS_WRITES, f"nobody writes {what} while it {work}"


def _changed_rows(work: Work, statement: PlannedStatement) -> Reason:
    """Return how bad it is: rows that are changed are locked until the commit.

    Nobody knows how many there are. A step with a condition is taken for one of many, each of a
    few rows.
    """
    few = statement.step and re.search(r"\bWHERE\b", statement.sql, re.IGNORECASE)
    return (
        Level.BRIEF_LOCK if few else Level.BLOCKS_WRITES,
        f"nobody else changes the rows of {work.table} that it changes, until the commit",
    )
