"""What ran, when, how long, by whom and from which revision.

``migration_history`` is written in the transaction of the migration itself, so it cannot
disagree with what was done. A failed run is recorded after its transaction was rolled back.
Triggers refuse to change or delete a row: the table's owner could drop them on purpose, but
rewrites nothing by accident.
"""

import functools
import getpass
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import asyncpg
import piccolo

from partman import __version__, project
from partman.migration.ledger.checksum import checksum, digest
from partman.migration.ledger.files import find_migration_file
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.lock import HELD

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class Direction(StrEnum):
    """What was done with a migration."""

    FORWARDS = "forwards"
    BACKWARDS = "backwards"
    ADOPTED = "adopted"
    """Recorded as applied, after the database was proven equal to its result."""
    FAKED = "faked"
    """Recorded as applied, without being run."""


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    FAILED = "failed"


TABLE = """
CREATE TABLE migration_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL,
    migration text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('forwards', 'backwards', 'adopted', 'faked')),
    outcome text NOT NULL CHECK (outcome IN ('done', 'failed')),
    error text CHECK ((error IS NOT NULL) = (outcome = 'failed')),
    started_at timestamptz NOT NULL,
    duration interval NOT NULL,
    checksum text,
    digest text,
    role text NOT NULL DEFAULT session_user,
    os_user text NOT NULL,
    host text NOT NULL,
    partman_version text NOT NULL,
    piccolo_version text NOT NULL,
    revision text
);
COMMENT ON TABLE migration_history IS 'What partman ran. Append-only.';
CREATE FUNCTION migration_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'migration_history is append-only';
END
$$;
CREATE TRIGGER migration_history_keep_rows BEFORE UPDATE OR DELETE ON migration_history
    FOR EACH ROW EXECUTE FUNCTION migration_history_is_append_only();
CREATE TRIGGER migration_history_keep_table BEFORE TRUNCATE ON migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION migration_history_is_append_only();
"""


@dataclass(frozen=True)
class Entry:
    """A row of ``migration_history``."""

    app: str
    migration: str
    direction: Direction
    outcome: Outcome
    error: str | None
    started_at: datetime
    duration: timedelta
    checksum: str | None
    digest: str | None
    role: str
    os_user: str
    host: str
    partman_version: str
    piccolo_version: str
    revision: str | None

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.migration)


async def record(
    connection: "Connection[Record]",
    *,
    migration: MigrationKey,
    direction: Direction,
    duration: timedelta,
    error: str | None = None,
) -> bool:
    """Append a row, in the transaction that is open.

    Returns whether it did. A migration that was done is recorded only by the server process
    that holds the migration lock; behind a proxy it may be another one.
    """
    file = find_migration_file(migration)
    appended = await connection.fetchval(
        f"""
        INSERT INTO migration_history (
            app, migration, direction, outcome, error, started_at, duration, checksum, digest,
            os_user, host, partman_version, piccolo_version, revision
        )
        SELECT $1, $2, $3, $4, $5, clock_timestamp() - $6::interval, $6::interval, $7,
            $8, $9, $10, $11, $12, $13
        WHERE $4 = 'failed' OR {HELD}
        RETURNING id
        """,
        *migration,
        direction,
        Outcome.DONE if error is None else Outcome.FAILED,
        error,
        duration,
        checksum(file.path) if file else None,
        digest(file.path) if file else None,
        *_who(),
    )
    return appended is not None


async def read(connection: "Connection[Record]") -> list[Entry]:
    """Return the whole history, oldest first. Changes nothing, and needs no history."""
    try:
        rows = await connection.fetch("SELECT * FROM migration_history ORDER BY id")
    except asyncpg.UndefinedTableError:
        return []
    return [_entry(row) for row in rows]


async def read_last(connection: "Connection[Record]") -> Entry | None:
    """Return the newest entry of the history; None where there is none, or no history."""
    try:
        row = await connection.fetchrow("SELECT * FROM migration_history ORDER BY id DESC LIMIT 1")
    except asyncpg.UndefinedTableError:
        return None
    return _entry(row) if row else None


def _entry(row: "Record") -> Entry:
    values: dict[str, Any] = dict(row)
    del values["id"]
    values["direction"] = Direction(values["direction"])
    values["outcome"] = Outcome(values["outcome"])
    return Entry(**values)


@functools.cache
def _who() -> tuple[str, str, str, str, str | None]:
    return (_os_user(), platform.node(), __version__, piccolo.__VERSION__, revision())


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return str(os.getuid())


def revision() -> str | None:
    """Return the git revision: of the project, or as the image that we run in was told."""
    told = os.environ.get("PARTMAN_REVISION")
    folder = project.folder()
    in_git = any((each / ".git").exists() for each in (folder, *folder.parents))
    if told or not in_git or not shutil.which("git"):
        return told or None
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    asked = subprocess.run(git, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None
