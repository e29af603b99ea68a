"""The result of trying pending migrations: statements, locks, work, losses, level."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeVar

from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.losses import Loss


class Level(IntEnum):
    """How a migration affects other sessions, from the mildest to the worst."""

    SAFE_LIVE = 0
    """No other session waits."""
    BRIEF_LOCK = 1
    """Reads or writes wait for a lock, for a time that does not grow with the rows."""
    BLOCKS_WRITES = 2
    """Writes wait, for a time that grows with the rows."""
    DEPENDS_ON_ROWS = 3
    """What it does depends on the rows, which the scratch database does not have."""
    BLOCKS_READS = 4
    """Reads and writes wait, for a time that grows with the rows."""
    LOSES_DATA = 5
    """Rows or values of the live database would be lost."""

    @property
    def title(self) -> str:
        """The name in reports: ``safe live``."""
        return self.name.lower().replace("_", " ")

    @property
    def option(self) -> str:
        """The name on the command line: ``safe-live``."""
        return self.name.lower().replace("_", "-")


# What waits for a lock of each mode, weakest first. DDL: statements that take a strong lock.
BLOCKS = {
    "ACCESS SHARE": "DDL",
    "ROW SHARE": "DDL",
    "ROW EXCLUSIVE": "DDL",
    "SHARE UPDATE EXCLUSIVE": "DDL",
    "SHARE": "writes, DDL",
    "SHARE ROW EXCLUSIVE": "writes, DDL",
    "EXCLUSIVE": "writes, DDL",
    "ACCESS EXCLUSIVE": "reads, writes, DDL",
}
MODES = tuple(BLOCKS)


@dataclass(frozen=True)
class Lock:
    """A lock on a table of the live database, or on one of its indexes."""

    table: str
    index: str | None
    """None if it is on the table itself."""
    mode: str
    """In SQL's terms: ``ACCESS EXCLUSIVE``."""

    @property
    def blocks(self) -> str:
        """What waits for it."""
        return BLOCKS[self.mode]

    @property
    def strength(self) -> int:
        """The position in ``MODES``: a stronger lock has a higher one."""
        return MODES.index(self.mode)


LockT = TypeVar("LockT", bound=Lock)


def without_implied(locks: Collection[LockT]) -> list[LockT]:
    """Leave out locks on indexes that are no stronger than the one on their table."""
    tables = {lock.table: lock for lock in locks if lock.index is None}
    return [
        lock
        for lock in locks
        if lock.index is None
        or lock.table not in tables
        or lock.strength > tables[lock.table].strength
    ]


PORTION = 10_000
"""Rows that a step of a backfill may change, for its locks to count as brief."""


class WorkKind(StrEnum):
    """What a statement does that takes longer the more rows a table has."""

    REWRITE = "rewrites"
    SCAN = "scans"
    BUILD = "builds an index on"
    CHANGE = "changes rows of"


@dataclass(frozen=True)
class Work:
    """Work on a table of the live database that takes longer the more rows it has."""

    kind: WorkKind
    table: str
    of: tuple[str, ...] = ()
    """Names of the indexes that are built, or of the constraints that are checked."""

    def __str__(self) -> str:
        return f"{self.kind} {self.table}" + (f" ({', '.join(self.of)})" if self.of else "")


@dataclass(frozen=True)
class Unseen:
    """Something that a database without rows does not show."""

    reason: str
    is_code: bool = False
    """Whether it is code that may do anything, as a DO block. Otherwise it changes rows, and how
    many is unknown.
    """


class Measured(StrEnum):
    """How the locks of a statement were observed."""

    INSIDE = "held at its end, in its transaction"
    OUTSIDE = "seen by another session while it ran"


@dataclass(frozen=True)
class PlannedStatement:
    """One statement of a migration, as it ran on the scratch database."""

    sql: str
    duration: float
    """Seconds, on a database without rows."""
    step: int | None
    """The number of the step in an online migration, else None."""
    transaction: str | None
    """The virtual transaction ID; None for a statement that cannot run in a transaction."""
    locks: tuple[Lock, ...]
    """Locks that the statement took, strongest first. A transaction keeps them to its end."""
    held: tuple[Lock, ...]
    """All locks of its transaction after the statement, these included, without ACCESS SHARE."""
    measured: Measured
    work: tuple[Work, ...]
    unseen: tuple[Unseen, ...] = ()
    in_portions: bool = False
    """Whether it is a backfill, which is many commits."""
    portion: int | None = None
    """How many rows a step changes, as the live database expects; None if it cannot tell."""

    @property
    def is_portion(self) -> bool:
        """Whether each of its commits changes a few rows."""
        if self.in_portions:
            return True
        return self.step is not None and self.portion is not None and self.portion <= PORTION


@dataclass(frozen=True)
class Finding:
    """A squawk finding."""

    line: int
    """The line in the output of ``partman plan --sql`` for the migration, from 1."""
    rule: str
    message: str


@dataclass(frozen=True)
class Reversal:
    """Whether reverting the migration restores the schema from before it."""

    works: bool | None
    """None if it was not tried."""
    why: str = ""
    """Why it does not work, or was not tried."""


@dataclass(frozen=True)
class PlannedMigration:
    """One pending migration."""

    app: str
    id: str
    description: str
    statements: tuple[PlannedStatement, ...]
    invalid_indexes: tuple[str, ...] = ()
    """Indexes that the migration leaves invalid."""
    losses: tuple[Loss, ...] = ()
    """What the data-loss guard would report, counted on the live database's current rows."""
    structural_losses: tuple[Loss, ...] = ()
    """What it takes from tables that have no rows here, where the plan saw no rows at all."""
    unseen: tuple[Unseen, ...] = ()
    """What is unseen of the whole migration; its statements have theirs."""
    conversions: tuple[str, ...] = ()
    """Sentences: whose values of the live database are converted, and how."""
    may_lose_data: bool = False
    """Whether the guard would warn instead of refusing."""
    findings: tuple[Finding, ...] = ()
    reversal: Reversal = Reversal(None)
    level: Level = Level.SAFE_LIVE
    reasons: tuple[str, ...] = ()
    """Why it has that level."""
    error: str | None = None
    """Why it failed on the scratch database; its other results are then incomplete."""

    @property
    def has_unseen_code(self) -> bool:
        """Whether it runs code that may do anything, depending on the rows."""
        return any(
            each.is_code
            for unseen in (self.unseen, *(statement.unseen for statement in self.statements))
            for each in unseen
        )

    @property
    def key(self) -> MigrationKey:
        """The migration's identity."""
        return MigrationKey(self.app, self.id)


@dataclass(frozen=True)
class Plan:
    """All pending migrations, in the order in which they would run."""

    version: str | None
    """ID of the newest migration that is applied to the live database."""
    migrations: tuple[PlannedMigration, ...]
    not_tried: tuple[str, ...]
    """IDs of the migrations after one that failed."""
    sizes: dict[str, int]
    """Size in bytes of each live table that any work is on."""
    notes: tuple[str, ...]
    """Further remarks."""
    rows_seen: bool = True
    """Whether the live database has rows, other than those that migrations insert."""

    @property
    def level(self) -> Level:
        """The worst level of all migrations."""
        return max((migration.level for migration in self.migrations), default=Level.SAFE_LIVE)

    @property
    def failed(self) -> bool:
        """Whether a migration failed on the scratch database."""
        return any(migration.error for migration in self.migrations)


def size_in_words(size: float) -> str:
    """Return a number of bytes with its unit: ``12 kB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
