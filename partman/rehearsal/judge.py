"""Derive a rehearsed migration's level from what it blocked, for how long, and what it lost."""

from collections.abc import Iterator
from dataclasses import dataclass

from partman.plan.model import Level
from partman.rehearsal.model import BRIEF, RehearsedMigration
from partman.wording import in_seconds

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def judge(migration: RehearsedMigration, *, sampled: bool) -> tuple[Level, tuple[str, ...]]:
    """Return the worst level, and all reasons for a level above SAFE_LIVE, the worst first."""
    reasons = sorted(
        _reasons(migration, "about " if sampled else ""), key=lambda each: (-each[0], -each[1])
    )
    level = reasons[0][0] if reasons else Level.SAFE_LIVE
    return level, tuple(text for _, _, text in reasons)


def _reasons(migration: RehearsedMigration, about: str) -> Iterator[tuple[Level, float, str]]:
    for loss in migration.losses:
        yield Level.LOSES_DATA, 0, str(loss)
    reads = migration.blocked_reads()
    for what, seconds in reads.items():
        level = Level.BLOCKS_READS if seconds > BRIEF else Level.BRIEF_LOCK
        yield level, seconds, f"reads and writes of {what} blocked for {about}{in_seconds(seconds)}"
    for what, seconds in migration.blocked_writes().items():
        if seconds > reads.get(what, 0):
            level = Level.BLOCKS_WRITES if seconds > BRIEF else Level.BRIEF_LOCK
            yield level, seconds, f"writes to {what} blocked for {about}{in_seconds(seconds)}"


@dataclass(frozen=True)
class FailOn:
    """A verdict, and the time from which on it counts."""

    level: Level
    seconds: float | None = None
    """None: whatever the time."""

    @classmethod
    def parsed(cls, text: str) -> "FailOn":
        """Return the condition of a text such as ``blocks-writes>1s``. Raises ValueError."""
        name, has_time, duration = text.replace(" ", "").partition(">")
        levels = {level.option: level for level in Level if level is not Level.SAFE_LIVE}
        levels.pop(Level.DEPENDS_ON_ROWS.option)  # a rehearsal has seen the rows
        if name not in levels:
            raise ValueError(f"{name!r} is none of {', '.join(levels)}")
        level = levels[name]
        if not has_time:
            return cls(level)
        if level not in (Level.BLOCKS_WRITES, Level.BLOCKS_READS):
            raise ValueError(f"{name} has no time: write only {name}")
        return cls(level, _seconds(duration))

    def is_met(self, migration: RehearsedMigration) -> bool:
        """Whether a migration is as bad as that."""
        if self.seconds is None:
            return migration.level >= self.level
        blocked = migration.blocked_reads()
        if self.level is Level.BLOCKS_WRITES:
            blocked = migration.blocked_writes()
        return any(seconds > self.seconds for seconds in blocked.values())


def _seconds(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.removeprefix(number)
    try:
        seconds = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{text!r} is not a time such as 500ms, 1s, 2.5s, 1min")
    return seconds
