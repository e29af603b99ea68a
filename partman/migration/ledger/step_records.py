"""Steps of online migrations that have begun or are done: the table ``migration_step``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.migration.ledger.identity import DirectedMigration
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLE = f"public.{bookkeeping.STEPS}"

TABLE = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (
    app text,
    migration text,
    backwards boolean,
    number integer,
    statement text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (app, migration, backwards, number)
);
ALTER TABLE {_TABLE} ADD COLUMN IF NOT EXISTS before jsonb,
    ADD COLUMN IF NOT EXISTS progress jsonb;
COMMENT ON TABLE {_TABLE} IS 'Steps of online migrations that are under way.';
"""


@dataclass(frozen=True)
class Progress:
    """How far a backfill is."""

    rows: int
    """How many rows of the table are done, those included that its condition leaves out."""
    total: int | None
    """How many rows the table had at the beginning, about; None if PostgreSQL had no estimate."""
    position: tuple[str, ...] | None
    """The primary key of the last row that is done, as text; None before the first, and at the
    end.
    """

    def __str__(self) -> str:
        if self.total is None:
            return counted(self.rows, "row")
        percent = min(99, self.rows * 100 // self.total)
        return f"{self.rows:,} of about {counted(self.total, 'row')} ({percent} %)"

    @classmethod
    def from_json(cls, text: str | None) -> "Progress | None":
        """Return what a record has; None if it has no progress."""
        if text is None:
            return None
        found = json.loads(text)
        position = found["position"]
        return cls(found["rows"], found["total"], None if position is None else tuple(position))


@dataclass(frozen=True)
class StepRecord:
    """What is known of a step that has begun."""

    statement: str
    is_finished: bool
    before: str | None
    """What the catalog had before it, as JSON; None if that was not asked."""
    progress: Progress | None
    """How far a backfill is; None for other steps."""


@dataclass(frozen=True)
class Interruption:
    """An online migration of which some steps were done and not the others."""

    migration: DirectedMigration
    finished: int
    """How many steps are done."""
    running: int | None
    """The number of the step that has begun and is not done; None if there is none."""
    progress: Progress | None
    """How far this step is; None if it is no backfill."""

    @property
    def step(self) -> int:
        """The number of the step that is running, or comes next."""
        return self.finished + 1 if self.running is None else self.running


async def create(connection: "Connection[Record]") -> None:
    """Create the table unless it exists, in its newest form; only then is it locked."""
    is_complete = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute"
        f" WHERE attrelid = to_regclass('{_TABLE}') AND attname = 'progress' AND NOT attisdropped)"
    )
    if not is_complete:
        await connection.execute(TABLE)


async def interruptions(connection: "Connection[Record]") -> list[Interruption]:
    """Return what was left half-way. Changes nothing, and needs no table to be there."""
    try:
        rows = await connection.fetch(
            "SELECT app, migration, backwards, count(finished_at)::int AS finished,"
            " min(number) FILTER (WHERE finished_at IS NULL) AS running,"
            " max(to_jsonb(step) ->> 'progress') FILTER (WHERE finished_at IS NULL) AS progress"
            f" FROM {_TABLE} AS step"
            " GROUP BY app, migration, backwards ORDER BY migration"
        )
    except asyncpg.UndefinedTableError:
        return []
    return [
        Interruption(
            DirectedMigration(row["app"], row["migration"], row["backwards"]),
            row["finished"],
            row["running"],
            Progress.from_json(row["progress"]),
        )
        for row in rows
    ]


async def read_records(
    connection: "Connection[Record]", migration: DirectedMigration
) -> Mapping[int, StepRecord]:
    """Return what is known of the steps of one migration, by their numbers.

    Needs no table to be there: a run may be killed before it has made it.
    """
    if await connection.fetchval(f"SELECT to_regclass('{_TABLE}')") is None:
        return {}
    rows = await connection.fetch(
        # to_jsonb: the table may still have an older form, without the newest columns.
        "SELECT number, statement, finished_at IS NOT NULL AS is_finished,"
        " to_jsonb(step) ->> 'before' AS before, to_jsonb(step) ->> 'progress' AS progress"
        f" FROM {_TABLE} AS step WHERE (app, migration, backwards) = ($1, $2, $3)",
        *migration,
    )
    return {
        row["number"]: StepRecord(
            row["statement"],
            row["is_finished"],
            row["before"],
            Progress.from_json(row["progress"]),
        )
        for row in rows
    }


def place(records: Mapping[int, StepRecord], steps: int) -> str:
    """Return where a migration of so many steps was interrupted, as the end of a sentence."""
    running = [number for number, record in records.items() if not record.is_finished]
    if running:
        return f"while step {min(running)} of {steps} was running"
    return f"after step {len(records)} of {steps}" if records else f"before step 1 of {steps}"


async def begin(
    connection: "Connection[Record]",
    migration: DirectedMigration,
    number: int,
    statement: str,
    before: str | None = None,
) -> None:
    """Record that a step begins; ``before``: what the catalog has before it, as JSON."""
    await connection.execute(
        f"INSERT INTO {_TABLE} (app, migration, backwards, number, statement, before)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        *migration,
        number,
        statement,
        before,
    )


def done(migration: DirectedMigration, number: int, statement: str) -> str:
    """Return the statement that records, in the transaction of a step, that it is done.

    Values are in its text, so that it can be sent in one message with others.
    """
    from partman.grammar.names import literal  # not needed to read the records

    return (
        f"INSERT INTO {_TABLE} (app, migration, backwards, number, statement, finished_at)"
        f" VALUES ({literal(migration.app)}, {literal(migration.id)}, {migration.backwards},"
        f" {number}, {literal(statement)}, clock_timestamp())"
    )


async def finish(
    connection: "Connection[Record]", migration: DirectedMigration, number: int
) -> None:
    """Record that a step that has begun is done."""
    await connection.execute(
        f"UPDATE {_TABLE} SET finished_at = clock_timestamp()"
        " WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
        *migration,
        number,
    )


async def note_progress(
    connection: "Connection[Record]", migration: DirectedMigration, number: int, progress: Progress
) -> None:
    """Record how far a step is, in the transaction that brings it there."""
    await connection.execute(
        f"UPDATE {_TABLE} SET progress = $5::text::jsonb"
        " WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
        *migration,
        number,
        json.dumps(asdict(progress)),
    )


async def undo(connection: "Connection[Record]", migration: DirectedMigration, number: int) -> None:
    """Delete the record of a step that failed and left nothing behind."""
    await connection.execute(
        f"DELETE FROM {_TABLE} WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
        *migration,
        number,
    )


async def forget(connection: "Connection[Record]", migration: DirectedMigration) -> None:
    """Delete the records of a migration that is complete: the ledger speaks for it now."""
    if await connection.fetchval(f"SELECT to_regclass('{_TABLE}')") is not None:
        await connection.execute(
            f"DELETE FROM {_TABLE} WHERE (app, migration, backwards) = ($1, $2, $3)",
            *migration,
        )
