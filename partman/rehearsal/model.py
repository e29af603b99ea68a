"""The result of a rehearsal: what each statement did, whom it blocked and for how long."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.losses import Loss
from partman.plan.model import BLOCKS, MODES, Level, Lock
from partman.wording import counted

BRIEF = 0.1
"""Seconds: how long a step of an online migration waits for a lock, and so whom it blocks."""

_WRITES = frozenset(mode for mode in MODES if "writes" in BLOCKS[mode])
_READS = frozenset(mode for mode in MODES if "reads" in BLOCKS[mode])


@dataclass(frozen=True)
class TimedLock(Lock):
    """A lock on a table that there was before, or on one of its indexes."""

    held: float
    """Seconds until its transaction ended."""

    @property
    def blocks_writes(self) -> bool:
        """Whether inserts, updates and deletes wait for it."""
        return self.mode in _WRITES

    @property
    def blocks_reads(self) -> bool:
        """Whether queries wait for it."""
        return self.mode in _READS


@dataclass(frozen=True)
class TableRows:
    """What a statement did with the rows of one table."""

    table: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    rewritten: int = 0
    """Rows of a table that got a new file."""
    locked: float = 0.0
    """Seconds for which the rows that it updated or deleted stayed locked."""

    @property
    def changed(self) -> int:
        """The rows that other sessions could not change meanwhile."""
        return self.updated + self.deleted


@dataclass(frozen=True)
class MeasuredStatement:
    """One statement of a migration, as it ran on the copy."""

    sql: str
    step: int | None
    """The number of the step in an online migration, else None."""
    seconds: float
    estimated: float
    """Seconds on all rows; as ``seconds``, unless the copy is a sample."""
    portions: int
    """Of a backfill: how many commits it was; else 1."""
    transactional: bool
    """Whether it ran in a transaction. If not, its rows are not counted."""
    locks: tuple[TimedLock, ...]
    """Those that it took, longest first; ``held`` is estimated as ``estimated`` is."""
    rows: tuple[TableRows, ...]
    wal: int
    """Bytes of WAL. On a server in use, also those of other sessions."""
    growth: int
    """Bytes by which the database grew on disk until its end."""


@dataclass(frozen=True)
class Return:
    """Whether the way back, and the migration once more, work with rows in place."""

    works: bool | None
    """None if it was not tried."""
    why: str = ""
    """Why it does not work, or was not tried."""


@dataclass(frozen=True)
class RehearsedMigration:
    """One pending migration."""

    app: str
    id: str
    description: str
    seconds: float = 0.0
    """All of its time, with the ledger's rows and the guard's counting."""
    statements: tuple[MeasuredStatement, ...] = ()
    losses: tuple[Loss, ...] = ()
    """What the guard has found."""
    may_lose_data: bool = False
    """Whether the guard would warn instead of refusing."""
    temporary: int = 0
    """Bytes of temporary files."""
    back: Return = Return(None, "the rehearsal ended before")
    level: Level = Level.SAFE_LIVE
    reasons: tuple[str, ...] = ()
    error: str | None = None
    """Why it failed on the copy; its other results are then incomplete."""

    @property
    def key(self) -> MigrationKey:
        """The migration's identity."""
        return MigrationKey(self.app, self.id)

    @property
    def all_rows(self) -> tuple[TableRows, ...]:
        """What its statements did with rows."""
        return tuple(rows for statement in self.statements for rows in statement.rows)

    def blocked_writes(self) -> dict[str, float]:
        """Return how many seconds writes were blocked, by what was locked."""
        return self._blocked(reads=False)

    def blocked_reads(self) -> dict[str, float]:
        """Return how many seconds reads were blocked, by what was locked."""
        return self._blocked(reads=True)

    def _blocked(self, *, reads: bool) -> dict[str, float]:
        longest: dict[str, float] = {}
        for what, seconds in self._blocking(reads):
            longest[what] = max(seconds, longest.get(what, 0))
        return longest

    def _blocking(self, reads: bool) -> Iterator[tuple[str, float]]:
        for statement in self.statements:
            for lock in statement.locks:
                if lock.blocks_reads if reads else lock.blocks_writes:
                    yield lock.table, lock.held
            for rows in () if reads else statement.rows:
                if rows.changed and statement.portions > 1:
                    yield f"rows of {rows.table}, portion by portion,", rows.locked
                elif rows.changed:
                    yield f"{counted(rows.changed, 'row')} of {rows.table}", rows.locked


@dataclass(frozen=True)
class CopyFacts:
    """The copy on which it was rehearsed."""

    origin: str
    """What it is, in words."""
    rows: int = 0
    """How many rows it had."""
    size: int = 0
    """Bytes on disk."""
    seconds: float = 0.0
    """How long it took to make."""
    sample: str | None = None
    """Which part of the rows, in words; None for all of them."""
    masked: tuple[str, ...] = ()
    """The columns whose values were replaced."""


@dataclass(frozen=True)
class Rehearsal:
    """All pending migrations, in the order in which they ran."""

    version: str | None
    """ID of the newest migration that is applied to the copied database."""
    copy: CopyFacts | None
    """None if nothing was pending, and so nothing copied."""
    migrations: tuple[RehearsedMigration, ...] = ()
    not_tried: tuple[str, ...] = ()
    """IDs of the migrations after one that failed."""
    notes: tuple[str, ...] = field(default=())

    @property
    def level(self) -> Level:
        """The worst level of all migrations."""
        return max((migration.level for migration in self.migrations), default=Level.SAFE_LIVE)

    @property
    def failed(self) -> bool:
        """Whether a migration failed on the copy."""
        return any(migration.error for migration in self.migrations)
