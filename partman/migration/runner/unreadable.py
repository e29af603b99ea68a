"""A migration file that cannot be imported: a run records it, and says so."""

from datetime import timedelta
from typing import TYPE_CHECKING

from partman.errors import MigrationCodeError, UnreadableMigrationError
from partman.migration.ledger import history
from partman.migration.ledger.files import (
    MigrationFile,
    import_migrations,
    migration_files,
    remember,
    unreadable_migration,
)
from partman.migration.ledger.history import Direction
from partman.migration.ledger.status import read_ledger

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def refuse_unreadable(
    connection: "Connection[Record]", *, backwards: bool
) -> list[MigrationFile]:
    """Import all migrations, as Piccolo will, and return their files.

    Raises MigrationCodeError for one that cannot be imported. It is recorded first, if it was to be
    run and its ID can be read. Call this under the migration lock.
    """
    try:
        import_migrations()
    except UnreadableMigrationError as error:
        await _record(connection, error, backwards=backwards)
        raise MigrationCodeError(str(error)) from error.__cause__
    files = migration_files()
    remember(files)
    return files


async def _record(
    connection: "Connection[Record]", error: UnreadableMigrationError, *, backwards: bool
) -> None:
    migration = unreadable_migration(error)
    if migration is None:
        return
    is_applied = migration in {row.key for row in await read_ledger(connection)}
    if is_applied is backwards:
        await history.record(
            connection,
            migration=migration,
            direction=Direction.BACKWARDS if backwards else Direction.FORWARDS,
            duration=timedelta(),
            error=error.reason,
        )
