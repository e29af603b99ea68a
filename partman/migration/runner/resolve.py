"""Record, after work by hand, that a migration is applied or rolled back."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.database.connection import KEEPS_NO_STATEMENT, connected
from partman.database.explain import CONNECTION_LOST, server_message
from partman.errors import DatabaseUnavailableError, NotAllowedError, PermissionDeniedError
from partman.migration.ledger import history, records, step_records
from partman.migration.ledger.files import migration_files
from partman.migration.ledger.find import find
from partman.migration.ledger.history import Direction
from partman.migration.ledger.identity import DirectedMigration, MigrationKey
from partman.migration.ledger.status import read_ledger
from partman.migration.runner import session_setup
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")

_LEDGER = f"public.{bookkeeping.LEDGER}"
_NOTHING = "Nothing was recorded."


@dataclass(frozen=True)
class Resolution:
    """What was recorded."""

    migration: MigrationKey
    is_applied: bool
    """Whether the ledger has it now."""
    forgotten_steps: int
    """How many records of steps of an online migration were removed."""


async def resolve(
    settings: Settings, migration: str, *, is_applied: bool, app: str | None = None
) -> Resolution:
    """Record a migration as applied or as rolled back, without running anything of it.

    ``migration`` is its ID, or the beginning of one, which no other has. ``app`` is only needed if
    several apps have a migration of this ID. Ledger, history and the
    records of steps change in one transaction, under the migration lock. Raises
    UnknownMigrationError; NotAllowedError if it is recorded so already; LockHeldError;
    PermissionDeniedError.
    """
    try:
        async with connected(settings, "partman resolve", **KEEPS_NO_STATEMENT) as connection:
            await session_setup.prepare(connection, settings, report=logger.info)
            return await _resolve(connection, migration, app, is_applied=is_applied)
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"{server_message(error)}. {_NOTHING} Use the role that runs the migrations."
        ) from error
    except CONNECTION_LOST as error:
        raise DatabaseUnavailableError(
            f"The connection was lost: {error}. See what is recorded: partman status"
        ) from error


async def _resolve(
    connection: "Connection[Record]", migration: str, app: str | None, *, is_applied: bool
) -> Resolution:
    ledger = {row.key for row in await read_ledger(connection)}
    key = _find(ledger, migration, app)
    async with connection.transaction():
        await records.create_tables(connection)
        await history.complete_killed(connection)
        steps = 0
        for backwards in (False, True):
            directed = DirectedMigration(*key, backwards)
            steps += len(await step_records.read_records(connection, directed))
            await step_records.forget(connection, directed)
        if (key in ledger) is is_applied and not steps:
            state = "applied" if is_applied else "not applied"
            raise NotAllowedError(
                f"{key.id} of {key.app} is recorded as {state} already. {_NOTHING} See: partman "
                "status"
            )
        await _record(connection, key, is_applied=is_applied, is_in_ledger=key in ledger)
    return Resolution(key, is_applied, steps)


def _find(ledger: set[MigrationKey], migration: str, app: str | None) -> MigrationKey:
    known = dict.fromkeys([*(file.key for file in migration_files()), *sorted(ledger)])
    return find(known, migration, _NOTHING, app=app)


async def _record(
    connection: "Connection[Record]", key: MigrationKey, *, is_applied: bool, is_in_ledger: bool
) -> None:
    if is_applied and not is_in_ledger:
        await records.add_to_ledger(connection, key)
    if not is_applied:
        await connection.execute(
            f"DELETE FROM {_LEDGER} WHERE name = $1 AND app_name = $2", key.id, key.app
        )
    await history.record(
        connection,
        migration=key,
        direction=Direction.FAKED if is_applied else Direction.BACKWARDS,
        duration=timedelta(),
        changes=f"recorded as {'applied' if is_applied else 'rolled back'} by hand, not run",
    )
