"""Looking at a database that is in use: changing nothing, waiting for nobody."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected, database_url, describe, session_settings
from partman.database.explain import CONNECTION_LOST, said
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

# Sent with the connection itself, so that they hold before the first statement. They win over what
# the role or the database have set, and a pooler that would share the session refuses them.
_HARMLESS = {
    "default_transaction_read_only": "on",
    # To print a definition, PostgreSQL locks what it belongs to, as a reader does.
    "lock_timeout": "100",
    "statement_timeout": "60000",
}


@asynccontextmanager
async def reading(settings: Settings, application_name: str) -> "AsyncIterator[Connection[Record]]":
    """Connect, for the duration of a block, in a session that can write nothing.

    Raises what connect() does; ConcurrentSchemaChangeError if it would have to wait for a lock, and
    PermissionDeniedError if the role may not read something that it has to.
    """
    url = await asyncio.to_thread(database_url, settings)
    options = {**session_settings(url, application_name), **_HARMLESS}
    async with connected(settings, application_name, server_settings=options) as connection:
        try:
            yield connection
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            raise _explained(error, describe(url)) from error


def _explained(error: Exception, where: str) -> PartmanError:
    match error:
        case asyncpg.LockNotAvailableError():
            return ConcurrentSchemaChangeError(
                f"{where}: somebody is changing a table, and reading would have to wait for them. "
                "Nothing was done. Type the command again when they are done."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{where} may not read what is needed: {error}. Nothing was done. Use the role "
                "that runs the migrations."
            )
    return DatabaseUnavailableError(f"{where} cannot be read: {said(error)}. Nothing was done.")
