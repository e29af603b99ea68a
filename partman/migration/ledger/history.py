"""What ran, when, how long, by whom and from which revision.

A row of ``migration_history`` begins with the run of a migration, as "running". It is completed in
the transaction of the migration itself, so it cannot disagree with what was done; a failed run is
completed after its transaction was rolled back. What a killed run leaves is completed by the next
one. Triggers refuse to change a completed row, or to delete one: the table's owner could drop them
on purpose, but rewrites nothing by accident.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from partman.database import bookkeeping
from partman.errors import PreflightError
from partman.migration.ledger import origin, step_records
from partman.migration.ledger.files import find_migration_file
from partman.migration.ledger.identity import DirectedMigration, MigrationKey
from partman.migration.ledger.lock import HELD
from partman.migration.ledger.status import refuse_hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection, Record


class Direction(StrEnum):
    """What was done with a migration."""

    FORWARDS = "forwards"
    BACKWARDS = "backwards"
    ADOPTED = "adopted"
    """Recorded as applied, after the database was proven equal to its result."""
    FAKED = "faked"
    """Recorded as applied, without being run."""

    @classmethod
    def of(cls, migration: DirectedMigration) -> "Direction":
        """Return in which direction a migration is run."""
        return cls.BACKWARDS if migration.backwards else cls.FORWARDS


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    """It has not ended; in the table, also one that was killed, until the next run begins."""
    KILLED = "killed"
    """Read by ``running.read_runs``, never stored: the next run records it as failed."""


_TABLE = f"public.{bookkeeping.HISTORY}"
_KILLED = "The run was killed, or lost its connection"

_KEEP_ROWS = """
CREATE OR REPLACE FUNCTION public.migration_history_is_append_only()
RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.outcome = 'running' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'migration_history is append-only';
END
$$;
"""

TABLE = f"""
CREATE TABLE {_TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL,
    migration text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('forwards', 'backwards', 'adopted', 'faked')),
    outcome text NOT NULL CHECK (outcome IN ('done', 'failed', 'running')),
    error text CHECK ((error IS NOT NULL) = (outcome = 'failed')),
    started_at timestamptz NOT NULL,
    duration interval CHECK ((duration IS NULL) = (outcome = 'running')),
    checksum text,
    digest text,
    role text NOT NULL DEFAULT session_user,
    os_user text NOT NULL,
    host text NOT NULL,
    partman_version text NOT NULL,
    piccolo_version text NOT NULL,
    revision text,
    steps integer,
    changes text
);
COMMENT ON TABLE {_TABLE} IS 'What partman ran. Append-only.';
{_KEEP_ROWS}
CREATE TRIGGER migration_history_keep_rows BEFORE UPDATE OR DELETE ON {_TABLE}
    FOR EACH ROW EXECUTE FUNCTION public.migration_history_is_append_only();
CREATE TRIGGER migration_history_keep_table BEFORE TRUNCATE ON {_TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION public.migration_history_is_append_only();
"""

UPGRADE = f"""
ALTER TABLE {_TABLE}
    ADD COLUMN steps integer,
    ADD COLUMN changes text,
    ALTER COLUMN duration DROP NOT NULL,
    ADD CHECK ((duration IS NULL) = (outcome = 'running')),
    DROP CONSTRAINT migration_history_outcome_check,
    ADD CONSTRAINT migration_history_outcome_check
        CHECK (outcome IN ('done', 'failed', 'running'));
{_KEEP_ROWS}
"""
"""From the form before 0.9, which had no running rows."""


class Entry(NamedTuple):
    """A row of ``migration_history``; a tuple, as there are thousands in each look."""

    app: str
    migration: str
    direction: Direction
    outcome: Outcome
    error: str | None
    started_at: datetime
    duration: timedelta | None
    """None while it is running."""
    checksum: str | None
    digest: str | None
    role: str
    os_user: str
    host: str
    partman_version: str
    piccolo_version: str
    revision: str | None
    steps: int | None = None
    """How many steps it has, if it is online."""
    changes: str | None = None
    """Which rows it changed, and what it lost."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.migration)

    @property
    def directed(self) -> DirectedMigration:
        """Which migration it is, and in which direction it was run."""
        return DirectedMigration(self.app, self.migration, self.direction is Direction.BACKWARDS)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, or was found to have been killed; None while it is running."""
        return None if self.duration is None else self.started_at + self.duration

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it is running."""
        return None if self.duration is None else self.duration.total_seconds()


IS_MISSING = f"to_regclass('{_TABLE}') IS NULL"
"""The condition, in SQL, that there is no such table."""

IS_OLD = f"""NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass('{_TABLE}') AND attname = 'changes' AND NOT attisdropped
)"""
"""The condition, in SQL, that it has the form before 0.9."""

COMPLETE = f"""
UPDATE {_TABLE} SET outcome = 'done', duration = clock_timestamp() - started_at
WHERE outcome = 'running'
""".strip()
"""Completes the row of the migration that is running, which was done."""

COMPLETE_KILLED = f"""
UPDATE {_TABLE}
SET outcome = 'failed', duration = clock_timestamp() - started_at,
    error = '{_KILLED}.'
WHERE outcome = 'running'
""".strip()
"""Completes the row that a run has left which was killed."""


async def create(connection: "Connection[Record]") -> None:
    """Create the table unless it exists, in its newest form."""
    found = await connection.fetchrow(f"SELECT {IS_MISSING} AS missing, {IS_OLD} AS old")
    assert found is not None
    if found["missing"]:
        await connection.execute(TABLE)
    elif found["old"]:
        await connection.execute(UPGRADE)


@dataclass(frozen=True)
class Client:
    """Who runs a migration, as SQL expressions."""

    os_user: str
    host: str


def beginning(
    migration: DirectedMigration, steps: int | None = None, client: Client | None = None
) -> str:
    """Return the statement that records that the run of a migration begins.

    Values are in its text, so that it can be sent in one message with others. ``client``: who runs
    it; by default this process.
    """
    from partman.grammar.names import literal  # not needed to read the history

    checksum_now, digest_now = _checksums(migration.key)
    values = {
        "app": migration.app,
        "migration": migration.id,
        "direction": Direction.of(migration),
        "outcome": Outcome.RUNNING,
        "checksum": checksum_now,
        "digest": digest_now,
        **dict(zip(origin.COLUMNS, origin.who(), strict=True)),
    }
    texts = {
        name: "NULL" if value is None else literal(value) for name, value in values.items()
    } | (asdict(client) if client else {})
    return (
        f"INSERT INTO {_TABLE} ({', '.join(texts)}, steps, started_at)"
        f" VALUES ({', '.join(texts.values())}, {'NULL' if steps is None else steps},"
        " clock_timestamp())"
    )


async def complete(
    connection: "Connection[Record]", error: str | None = None, changes: str | None = None
) -> bool:
    """Complete the row of the migration that is running, in the transaction that is open.

    Returns whether it did. A migration that was done is recorded only by the server process
    that holds the migration lock; behind a proxy it may be another one.
    """
    completed = await connection.fetchval(
        f"""
        UPDATE {_TABLE}
        SET outcome = $1, error = $2, changes = $3, duration = clock_timestamp() - started_at
        WHERE outcome = 'running' AND ($1 = 'failed' OR {HELD})
        RETURNING id
        """,
        Outcome.DONE if error is None else Outcome.FAILED,
        error,
        changes,
    )
    return completed is not None


async def complete_killed(connection: "Connection[Record]") -> list[Entry]:
    """Complete what killed runs have left, and return it; call this under the migration lock."""
    rows = await connection.fetch(f"SELECT * FROM {_TABLE} WHERE outcome = 'running' ORDER BY id")
    entries = _entries(rows)
    for entry in entries:
        await connection.execute(
            f"""
            UPDATE {_TABLE}
            SET outcome = 'failed', duration = clock_timestamp() - started_at, error = $3
            WHERE outcome = 'running' AND app = $1 AND migration = $2
            """,
            *entry.key,
            await error_of_killed(connection, entry),
        )
    return entries


async def read_completed(connection: "Connection[Record]") -> tuple[list[Entry], list[Entry]]:
    """Return read() after complete_killed(), and what that has completed; most often, nothing."""
    entries = await read(connection)
    if all(each.outcome is not Outcome.RUNNING for each in entries):
        return entries, []
    killed = await complete_killed(connection)
    return await read(connection), killed


async def error_of_killed(connection: "Connection[Record]", entry: Entry) -> str:
    """Return what became of a run that was killed. Changes nothing."""
    if entry.steps is None:
        return f"{_KILLED}. What it had not committed was rolled back."
    records = await step_records.read_records(connection, entry.directed)
    return f"{_KILLED} {step_records.place(records, entry.steps)}. Steps that are done stay."


async def record(
    connection: "Connection[Record]",
    *,
    migration: MigrationKey,
    direction: Direction,
    duration: timedelta,
    error: str | None = None,
    changes: str | None = None,
) -> bool:
    """Append a row, in the transaction that is open.

    Returns whether it did. A migration that was done is recorded only by the server process
    that holds the migration lock; behind a proxy it may be another one.
    """
    checksum_now, digest_now = _checksums(migration)
    appended = await connection.fetchval(
        f"""
        INSERT INTO {_TABLE} (
            app, migration, direction, outcome, error, started_at, duration, checksum, digest,
            os_user, host, partman_version, piccolo_version, revision, changes
        )
        SELECT $1, $2, $3, $4, $5, clock_timestamp() - $6::interval, $6::interval, $7,
            $8, $9, $10, $11, $12, $13, $14
        WHERE $4 = 'failed' OR {HELD}
        RETURNING id
        """,
        *migration,
        direction,
        Outcome.DONE if error is None else Outcome.FAILED,
        error,
        duration,
        checksum_now,
        digest_now,
        *origin.who(),
        changes,
    )
    return appended is not None


def _checksums(migration: MigrationKey) -> tuple[str | None, str | None]:
    """Return both; none for a migration that has no file, or one that cannot be read."""
    try:
        file = find_migration_file(migration)
        return file.read_sums() if file else (None, None)
    except PreflightError:
        return None, None


async def read(connection: "Connection[Record]") -> list[Entry]:
    """Return the whole history, oldest first. Changes nothing, and needs no history."""
    try:
        rows = await connection.fetch(f"SELECT * FROM {_TABLE} ORDER BY id")
    except asyncpg.UndefinedTableError:
        return []
    except asyncpg.InsufficientPrivilegeError:
        if not connection.is_in_transaction():
            await refuse_hidden(connection)
        raise
    return _entries(rows)


async def read_last(connection: "Connection[Record]") -> Entry | None:
    """Return the newest entry of a run that has ended; None where there is none, or no history."""
    try:
        row = await connection.fetchrow(
            f"SELECT * FROM {_TABLE} WHERE outcome <> 'running' ORDER BY id DESC LIMIT 1"
        )
    except asyncpg.UndefinedTableError:
        return None
    return _entries([row])[0] if row else None


def _entries(rows: "Sequence[Record]") -> list[Entry]:
    """Return the rows, which may be those of an older form of the table, with fewer columns."""
    if not rows:
        return []
    names = [each for each in Entry._fields if each in rows[0]]
    values_of = itemgetter(*names)
    direction, outcome = names.index("direction"), names.index("outcome")
    entries = []
    for row in rows:
        values = list(values_of(row))
        values[direction] = _DIRECTIONS[values[direction]]
        values[outcome] = _OUTCOMES[values[outcome]]
        entries.append(Entry(*values))
    return entries


# Thousands of rows: a call of the class takes several times as long.
_DIRECTIONS = {each.value: each for each in Direction}
_OUTCOMES = {each.value: each for each in Outcome}
