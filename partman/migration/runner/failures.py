"""Say what ended a migration: the server, the connection, or the migration's own code."""

import traceback
from pathlib import Path
from types import TracebackType

import asyncpg

from partman.database.blockers import Blockers
from partman.database.explain import NOT_SENT, SESSION_ENDED, explain, shortened
from partman.errors import (
    DatabaseUnavailableError,
    MigrationCodeError,
    OutsideRunError,
    PartmanError,
    TryAgainError,
)
from partman.migration.ledger.files import find_migration_file
from partman.migration.ledger.identity import MigrationKey

TRY_AGAIN = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Errors that come from what other sessions do at the moment."""


def is_lost(error: BaseException, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Whether an error of a statement means that its connection is lost."""
    return isinstance(error, SESSION_ENDED) or connection.is_closed()


def of_the_database(
    error: BaseException,
    connection: "asyncpg.Connection[asyncpg.Record]",
    sql: str,
    outcome: str,
    *,
    blockers: Blockers,
) -> BaseException:
    """Return the error to raise for one that a statement of the run has raised.

    ``blockers`` knows who held the lock that the statement did not get.
    """
    if isinstance(error, PartmanError):  # such as one that says what became of a lost COMMIT
        return error
    if isinstance(error, TRY_AGAIN):
        return TryAgainError(
            f"{_reason(error, blockers)} {outcome} The statement: {shortened(sql)}.",
            frozenset(each.name for each in blockers.found),
        )
    if isinstance(error, Exception) and is_lost(error, connection):
        reason = "it was closed" if isinstance(error, NOT_SENT) else error
        return DatabaseUnavailableError(
            f"The connection was lost: {reason}. {outcome} Run the command again to apply the "
            "remaining migrations."
        )
    if isinstance(error, asyncpg.PostgresError):
        return explain(error, sql, outcome)
    if isinstance(error, asyncpg.InterfaceError):  # such as a wrong number of arguments
        return MigrationCodeError(f"{error}. {outcome} The statement: {shortened(sql)}")
    return error


def of_the_code(
    error: BaseException, migration: MigrationKey | None, outcome: str
) -> BaseException:
    """Return the error to raise for one of a migration's own Python code.

    An interruption, or an error that is written for a person already, is returned as it is.
    """
    if not isinstance(error, Exception):
        return error
    if isinstance(error, PartmanError) and not isinstance(error, OutsideRunError):
        return error
    file = find_migration_file(migration) if migration else None
    place = _place(error.__traceback__, file.path if file else None)
    if isinstance(error, OutsideRunError):
        return MigrationCodeError(f"{place}{error}. {outcome}")
    text = " ".join(str(error).split())
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return MigrationCodeError(
        f"{place}{said}. {outcome} Correct the code, then run the migrations again."
    )


def _reason(error: BaseException, blockers: Blockers) -> str:
    if isinstance(error, asyncpg.LockNotAvailableError):
        return f"A statement did not get its lock in time. {blockers.description()}"
    if isinstance(error, asyncpg.DeadlockDetectedError):
        return "A statement and another session waited for each other's locks (a deadlock)."
    return "Another session changed the same rows at the same time (a serialization failure)."


def _place(trace: TracebackType | None, file: Path | None) -> str:
    """Return "file:line: " of the migration's own line, else of the innermost one."""
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if file and Path(frame.filename) == file]
    found = (own or frames)[-1:]
    return "".join(f"{frame.filename}, line {frame.lineno}: " for frame in found)
