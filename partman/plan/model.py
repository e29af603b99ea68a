"""What is known of pending migrations after they were tried."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.guard import Loss


class Level(IntEnum):
    """What a migration does to those who use the database, the worst last."""

    SAFE_LIVE = 0
    """Nobody waits."""
    BRIEF_LOCK = 1
    """A lock that reads or writes have to wait for, but not for longer the more rows there are."""
    BLOCKS_WRITES = 2
    """Writes wait for as long as something takes that grows with the rows."""
    BLOCKS_READS = 3
    """Reads wait for as long, too."""
    LOSES_DATA = 4
    """Rows or values that the live database holds would be gone."""

    @property
    def title(self) -> str:
        """How a person says it: ``safe live``."""
        return self.name.lower().replace("_", " ")

    @property
    def option(self) -> str:
        """How a command line says it: ``safe-live``."""
        return self.name.lower().replace("_", "-")


# What waits for a lock of each mode; weakest first. DDL is everything that takes a strong lock.
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
    """A lock on a table that the live database has, or on one of its indexes."""

    table: str
    index: str | None
    """None where it is the table itself."""
    mode: str
    """As SQL says it: ``ACCESS EXCLUSIVE``."""

    @property
    def blocks(self) -> str:
        """What waits for it."""
        return BLOCKS[self.mode]

    @property
    def strength(self) -> int:
        """Grows with what has to wait."""
        return MODES.index(self.mode)


class Kind(StrEnum):
    """What takes longer the more rows there are."""

    REWRITE = "rewrites"
    SCAN = "scans"
    BUILD = "builds an index on"
    CHANGE = "changes rows of"


@dataclass(frozen=True)
class Work:
    """Something that grows with the rows of a table that the live database has."""

    kind: Kind
    table: str
    of: tuple[str, ...] = ()
    """The indexes that are built, the constraints that are checked."""

    def __str__(self) -> str:
        return f"{self.kind} {self.table}" + (f" ({', '.join(self.of)})" if self.of else "")


class Measured(StrEnum):
    """How the locks of a statement are known."""

    INSIDE = "held at its end, in its transaction"
    OUTSIDE = "seen by another session while it ran"


@dataclass(frozen=True)
class PlannedStatement:
    """One statement of a migration, as it ran on the scratch database."""

    sql: str
    duration: float
    """Seconds, on a database without rows."""
    step: int | None
    """Of an online migration; None in one without steps."""
    transaction: str | None
    """What it was committed with; None for a statement that cannot run in a transaction."""
    locks: tuple[Lock, ...]
    """Those that it took, strongest first. A transaction keeps them to its end."""
    held: tuple[Lock, ...]
    """All that its transaction had at its end, these included, but for ACCESS SHARE."""
    measured: Measured
    work: tuple[Work, ...]


@dataclass(frozen=True)
class Finding:
    """What squawk says of a line."""

    line: int
    """In the migration's SQL, as ``partman plan --sql`` prints it. From 1."""
    rule: str
    message: str


@dataclass(frozen=True)
class Reversal:
    """Whether going back gives the schema that was there before."""

    works: bool | None
    """None where it was not tried."""
    why: str = ""
    """What is in the way."""


@dataclass(frozen=True)
class PlannedMigration:
    """One pending migration."""

    app: str
    id: str
    description: str
    statements: tuple[PlannedStatement, ...]
    invalid_indexes: tuple[str, ...] = ()
    """Those that it leaves unusable."""
    losses: tuple[Loss, ...] = ()
    """What the data-loss guard would say, with the rows that the live database has now."""
    may_lose_data: bool = False
    """Whether the guard would let it pass."""
    findings: tuple[Finding, ...] = ()
    reversal: Reversal = Reversal(None)
    level: Level = Level.SAFE_LIVE
    reasons: tuple[str, ...] = ()
    """Why it is that level."""
    error: str | None = None
    """Why it failed on the scratch database: then there is no telling what it would do."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)


@dataclass(frozen=True)
class Plan:
    """All pending migrations, in the order in which they would run."""

    version: str | None
    """The newest that is applied to the live database."""
    migrations: tuple[PlannedMigration, ...]
    not_tried: tuple[str, ...]
    """The IDs of those after one that failed."""
    sizes: dict[str, int]
    """Bytes of each live table that a long piece of work is about."""
    notes: tuple[str, ...]
    """What else one should know."""

    @property
    def level(self) -> Level:
        """That of the worst."""
        return max((one.level for one in self.migrations), default=Level.SAFE_LIVE)

    @property
    def failed(self) -> bool:
        """Whether one of them does not even run on an empty database."""
        return any(one.error for one in self.migrations)


def size_in_words(size: float) -> str:
    """Say bytes as people do."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
