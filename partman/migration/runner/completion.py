"""Complete the records of a migration: its ledger row, its history row, and what became of both."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.database.explain import CONNECTION_LOST, ROLLED_BACK, shortened
from partman.errors import DatabaseUnavailableError, MigrationCodeError, PartmanError
from partman.grammar.names import literal
from partman.migration.ledger import history
from partman.migration.ledger.history import Direction
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.status import read_ledger
from partman.migration.runner.reach import divided
from partman.migration.runner.run_session import RunSession

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")

_WRITE = "partman_ledger_write"
"""The name of a prepared statement, which is gone at the end of the message."""
_NOT_THE_HOLDER = "partman.lock_is_not_held"
"""A setting that there is not: it is asked for where the lock is not held, which is an error."""


def is_ledger_write(sql: str) -> bool | None:
    """Whether Piccolo records a migration as reverted (True) or as applied (False), if either."""
    [(_, parsed), *_] = divided(sql)
    if parsed is None or parsed.kind not in {"InsertStmt", "DeleteStmt"}:
        return None
    if parsed.node["relation"]["relname"] != bookkeeping.LEDGER:
        return None
    return parsed.kind == "DeleteStmt"


def at_once(sql: str, arguments: Sequence[object], is_holder: str) -> str | None:
    """Return Piccolo's ledger write, the history's, and COMMIT as one message; None if it cannot.

    PREPARE takes the statement as it is, and EXECUTE its values as texts. ``is_holder`` is the
    condition, in SQL, that a server process has the migration lock: in another one, the message is
    an error, and commits nothing.
    """
    values = [_literal(each) for each in arguments]
    if None in values or not arguments:
        return None
    return (
        f"PREPARE {_WRITE} AS {sql.rstrip().rstrip(';')};"
        f"EXECUTE {_WRITE} ({', '.join(map(str, values))}); DEALLOCATE {_WRITE};"
        f"WITH done AS ({history.COMPLETE} RETURNING id)"
        f" SELECT CASE WHEN count(*) = 0 OR NOT {is_holder}"
        f" THEN current_setting('{_NOT_THE_HOLDER}') END FROM done;COMMIT"
    )


def _literal(value: object) -> str | None:
    if type(value) is str:
        return literal(value)
    return f"'{value.isoformat()}'" if type(value) is datetime else None


async def send(
    connection: "Connection[Record]", message: str, failure: tuple[BaseException, str] | None = None
) -> None:
    """Send what ends a migration's transaction; ``failure``: the error of a statement in it.

    Raises PartmanError behind a pooler, as record() does, and where the code of the migration went
    on after an error.
    """
    try:
        await connection.execute(message)
    except asyncpg.InFailedSQLTransactionError as error:
        first, sql = failure or (error, "")
        raise MigrationCodeError(
            f"A statement failed, and the code of the migration went on: {first}. "
            f"{ROLLED_BACK} Let the error pass. The statement: {shortened(sql)}"
        ) from error
    except asyncpg.UndefinedObjectError as error:
        if _NOT_THE_HOLDER in str(error):
            raise _not_the_holder() from error
        raise


async def record(
    connection: "Connection[Record]",
    migration: DirectedMigration,
    changes: str | None,
    *,
    is_faked: bool,
) -> None:
    """Record in the history that a migration is done. Raises PartmanError behind a pooler."""
    if is_faked:
        direction = Direction.BACKWARDS if migration.backwards else Direction.FAKED
        recorded = await history.record(
            connection, migration=migration.key, direction=direction, duration=timedelta()
        )
    else:
        recorded = await history.complete(connection, changes=changes)
    if not recorded:
        raise _not_the_holder()


def _not_the_holder() -> PartmanError:
    return PartmanError(
        "The server process that is about to commit does not hold the migration lock: a pooler "
        "changes server processes. Nothing was committed. Set DATABASE_URL to the server itself."
    )


async def record_failure(session: RunSession, error: BaseException) -> None:
    """Record in the history that the migration that is running has failed."""
    text = f"{type(error).__name__}: {error}"
    with contextlib.suppress(PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
        if session.connection.is_closed():
            async with session.another_connection() as connection:
                await history.complete(connection, text)
        else:
            await session.connection.execute(session.put_back)
            await history.complete(session.connection, text)


async def was_committed(migration: DirectedMigration, session: RunSession) -> bool:
    """Find out the outcome of a commit whose answer was lost: the ledger row is part of it.

    The server that answers may be a standby that was promoted meanwhile. It has the row only if it
    has the commit, whereas it may have given the transaction's ID to another one.

    Raises DatabaseUnavailableError if it cannot be asked.
    """
    try:
        async with session.after_lost_commit(report=logger.info) as connection:
            applied = {row.key for row in await read_ledger(connection)}
    except PartmanError as error:
        raise DatabaseUnavailableError(
            f"The connection was lost while {migration.id} was being committed. It is either "
            "applied and recorded, or rolled back. Find out with: partman status. Connecting "
            f"again failed: {error}"
        ) from error
    return (migration.key in applied) is not migration.backwards


def lost_at_commit(migration: DirectedMigration, outcome: str) -> DatabaseUnavailableError:
    """Return the error to raise when the connection was lost in COMMIT; ``outcome``: sentences."""
    return DatabaseUnavailableError(
        f"The connection was lost while {migration.id} was being committed. {outcome} "
        "Run the command again to apply the remaining migrations."
    )
