"""Read a database in use without changing it or waiting for other sessions."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.connection_url import describe
from partman.database.connection import connected, database_url, session_settings
from partman.database.explain import CONNECTION_LOST, server_message
from partman.errors import (
    ConcurrentSchemaChangeError,
    DatabaseUnavailableError,
    PartmanError,
    PermissionDeniedError,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Connection, Record

# Startup parameters hold before the first statement and take precedence over the settings of role
# and database. A pooler that would share the session rejects them.
_STARTUP_PARAMETERS = {
    "default_transaction_read_only": "on",
    # PostgreSQL takes an ACCESS SHARE lock on a table to print a definition of it.
    "lock_timeout": "100",
    "statement_timeout": "60000",
}


@asynccontextmanager
async def reading(settings: Settings, application_name: str) -> "AsyncIterator[Connection[Record]]":
    """Connect in a read-only session for the duration of a block.

    Raises the errors of connect(); ConcurrentSchemaChangeError if it would have to wait for a lock,
    and PermissionDeniedError if the role may not read something that it has to.
    """
    url = await asyncio.to_thread(database_url, settings)
    options = {**session_settings(settings, url, application_name), **_STARTUP_PARAMETERS}
    async with connected(settings, application_name, server_settings=options) as connection:
        try:
            yield connection
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            raise _explained(error, describe(url)) from error


def _explained(error: Exception, where: str) -> PartmanError:
    match error:
        case asyncpg.LockNotAvailableError():
            return ConcurrentSchemaChangeError(
                f"{where}: another session is changing a table, and reading the schema would have "
                "to wait for it. Nothing was done. Run the command again when that session is done."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{where}: the role cannot read the schema: {error}. Nothing was done. Use the "
                "role that runs the migrations."
            )
    return DatabaseUnavailableError(
        f"{where} cannot be read: {server_message(error)}. Nothing was done."
    )
