"""Which steps of online migrations have begun, and which are done: the table ``migration_step``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.migration.ledger.identity import DirectedMigration

if TYPE_CHECKING:
    from asyncpg import Connection, Record

TABLE = """
CREATE TABLE IF NOT EXISTS migration_step (
    app text,
    migration text,
    backwards boolean,
    number integer,
    statement text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (app, migration, backwards, number)
);
COMMENT ON TABLE migration_step IS 'Steps of online migrations that are under way.';
"""


@dataclass(frozen=True)
class StepRecord:
    """What is known of a step that has begun."""

    statement: str
    is_finished: bool


@dataclass(frozen=True)
class Interruption:
    """An online migration of which some steps were done and not the others."""

    migration: DirectedMigration
    steps: int
    """How many have begun."""


async def interruptions(connection: "Connection[Record]") -> list[Interruption]:
    """Return what was left half-way. Changes nothing, and needs no table to be there."""
    try:
        rows = await connection.fetch(
            "SELECT app, migration, backwards, count(*)::int AS steps FROM migration_step"
            " GROUP BY app, migration, backwards ORDER BY migration"
        )
    except asyncpg.UndefinedTableError:
        return []
    return [
        Interruption(
            DirectedMigration(row["app"], row["migration"], row["backwards"]), row["steps"]
        )
        for row in rows
    ]


async def read_records(
    connection: "Connection[Record]", migration: DirectedMigration
) -> Mapping[int, StepRecord]:
    """Return what is known of the steps of one migration, by their numbers."""
    rows = await connection.fetch(
        "SELECT number, statement, finished_at IS NOT NULL AS is_finished FROM migration_step"
        " WHERE (app, migration, backwards) = ($1, $2, $3)",
        *migration,
    )
    return {row["number"]: StepRecord(row["statement"], row["is_finished"]) for row in rows}


async def begin(
    connection: "Connection[Record]",
    migration: DirectedMigration,
    number: int,
    statement: str,
    *,
    done: bool,
) -> None:
    """Record that a step begins or, in the transaction of the step itself, that it is done."""
    await connection.execute(
        "INSERT INTO migration_step (app, migration, backwards, number, statement, finished_at)"
        " VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN clock_timestamp() END)",
        *migration,
        number,
        statement,
        done,
    )


async def finish(
    connection: "Connection[Record]", migration: DirectedMigration, number: int
) -> None:
    """Record that a step that has begun is done."""
    await connection.execute(
        "UPDATE migration_step SET finished_at = clock_timestamp()"
        " WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
        *migration,
        number,
    )


async def undo(connection: "Connection[Record]", migration: DirectedMigration, number: int) -> None:
    """Delete the record of a step that failed and left nothing behind."""
    await connection.execute(
        "DELETE FROM migration_step WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
        *migration,
        number,
    )


async def forget(connection: "Connection[Record]", migration: DirectedMigration) -> None:
    """Delete the records of a migration that is complete: the ledger speaks for it now."""
    if await connection.fetchval("SELECT to_regclass('migration_step')") is not None:
        await connection.execute(
            "DELETE FROM migration_step WHERE (app, migration, backwards) = ($1, $2, $3)",
            *migration,
        )
