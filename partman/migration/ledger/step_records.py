"""Steps of online migrations that have begun or are done: the table ``migration_step``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.migration.ledger.identity import DirectedMigration

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
ALTER TABLE {_TABLE} ADD COLUMN IF NOT EXISTS before jsonb;
COMMENT ON TABLE {_TABLE} IS 'Steps of online migrations that are under way.';
"""


@dataclass(frozen=True)
class StepRecord:
    """What is known of a step that has begun."""

    statement: str
    is_finished: bool
    before: str | None
    """What the catalog had before it, as JSON; None if that was not asked."""


@dataclass(frozen=True)
class Interruption:
    """An online migration of which some steps were done and not the others."""

    migration: DirectedMigration
    finished: int
    """How many steps are done."""
    running: int | None
    """The number of the step that has begun and is not done; None if there is none."""

    @property
    def step(self) -> int:
        """The number of the step that is running, or comes next."""
        return self.finished + 1 if self.running is None else self.running


async def create(connection: "Connection[Record]") -> None:
    """Create the table unless it exists, in its newest form; only then is it locked."""
    is_complete = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute"
        f" WHERE attrelid = to_regclass('{_TABLE}') AND attname = 'before' AND NOT attisdropped)"
    )
    if not is_complete:
        await connection.execute(TABLE)


async def interruptions(connection: "Connection[Record]") -> list[Interruption]:
    """Return what was left half-way. Changes nothing, and needs no table to be there."""
    try:
        rows = await connection.fetch(
            "SELECT app, migration, backwards, count(finished_at)::int AS finished,"
            f" min(number) FILTER (WHERE finished_at IS NULL) AS running FROM {_TABLE}"
            " GROUP BY app, migration, backwards ORDER BY migration"
        )
    except asyncpg.UndefinedTableError:
        return []
    return [
        Interruption(
            DirectedMigration(row["app"], row["migration"], row["backwards"]),
            row["finished"],
            row["running"],
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
        "SELECT number, statement, finished_at IS NOT NULL AS is_finished, before"
        f" FROM {_TABLE} WHERE (app, migration, backwards) = ($1, $2, $3)",
        *migration,
    )
    return {
        row["number"]: StepRecord(row["statement"], row["is_finished"], row["before"])
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
    *,
    done: bool,
    before: str | None = None,
) -> None:
    """Record that a step begins or, in the transaction of the step itself, that it is done.

    ``before``: what the catalog has before it, as JSON.
    """
    await connection.execute(
        f"INSERT INTO {_TABLE}"
        " (app, migration, backwards, number, statement, finished_at, before)"
        " VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN clock_timestamp() END, $7)",
        *migration,
        number,
        statement,
        done,
        before,
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
