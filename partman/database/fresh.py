"""Put an empty database in the place of one, for development.

At every moment there is a database of the name: the new one is created beside it, and both are
renamed in one transaction. A killed command leaves one of two names, which the next one drops.
"""

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg

from partman.connection_url import describe
from partman.database.connection import connected, database_url
from partman.database.database_form import create_options, read_forms
from partman.database.distributed import refuse_distributed
from partman.database.explain import server_message
from partman.database.poolers import refuse_transaction_pooling
from partman.database.scratch import drop_database, with_database
from partman.database.standby import refuse_standby
from partman.errors import LockHeldError, NotAllowedError, PermissionDeniedError
from partman.grammar.names import quoted
from partman.settings import Environment, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NAME = "partman reset"
_MAINTENANCE = "postgres"
"""The database from which another one is renamed."""
_LONGEST = 50
"""Characters of the name that are kept in the names of the other two."""
_ATTEMPTS = 20
_PAUSE = 0.1
_DEVELOPMENT = frozenset({"dev", "development"})

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('partman reset ' || $1, 0))"
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid()
"""


async def refuse_unless_development(settings: Settings) -> str:
    """Return the name of a database that may be dropped, as its server says it.

    It is the embedded server's, or one whose name has the word ``dev`` or ``development``; and
    PARTMAN_ENV says development. Raises NotAllowedError, DistributedError, and the errors of
    connect().
    """
    if settings.environment is not Environment.DEVELOPMENT:
        raise NotAllowedError(
            f"PARTMAN_ENV is {settings.environment}: reset is for development, because it drops "
            "the database. Nothing was changed."
        )
    async with connected(settings, _NAME) as connection:
        await refuse_distributed(connection, "Nothing was changed")
        name: str = await connection.fetchval("SELECT current_database()")
    if settings.database_url is not None and not is_named_for_development(name):
        raise NotAllowedError(
            f"{settings.url_source} leads to the database {name}, whose name does not say that it "
            "is for development. Nothing was changed. Reset drops only the embedded server's "
            f"database, and one that is named like {name}_dev."
        )
    return name


def is_named_for_development(database: str) -> bool:
    """Whether one of the words of the name is ``dev`` or ``development``."""
    return not _DEVELOPMENT.isdisjoint(re.split(r"[^a-z0-9]+", database.lower()))


async def replace_database(settings: Settings) -> None:
    """Put an empty database in the place of that of the settings; end all of its sessions.

    What an administrator has given the database beside the migrations is gone, such as settings
    and extensions. Raises NotAllowedError, LockHeldError if another process does the same or
    sessions keep coming, PermissionDeniedError, and the errors of connect().
    """
    name = await refuse_unless_development(settings)
    url, owner = await asyncio.to_thread(_maintenance, settings)
    where = describe(url)
    elsewhere = replace(settings, database_url=url)
    async with connected(elsewhere, _NAME) as connection:
        await refuse_standby(connection)
        await refuse_transaction_pooling(connection, elsewhere)
        if not await connection.fetchval(_LOCK, name):
            raise LockHeldError(
                f"Another command is resetting {name}. Nothing was changed. Wait for it."
            )
        try:
            await _replace(connection, name, owner)
        except asyncpg.InsufficientPrivilegeError as error:
            raise PermissionDeniedError(
                f"{where}: the role cannot replace the database {name}: {server_message(error)}. "
                f"The database {name} is as it was. The role must own it and have CREATEDB."
            ) from error


def _maintenance(settings: Settings) -> tuple[str, str | None]:
    """Return the URL of the database to do it from, and the owner of the new one if not ours."""
    url = database_url(settings)
    if settings.database_url is not None:
        return with_database(url, _MAINTENANCE), None
    from partman.database import embedded  # not needed with a DATABASE_URL
    from partman.database.embedded.cluster import ROLE

    # The owner may not end the sessions of the application's login.
    return with_database(embedded.as_role(url, embedded.SUPERUSER), _MAINTENANCE), ROLE


async def _replace(connection: "Connection[Record]", name: str, owner: str | None) -> None:
    short = name[:_LONGEST]
    current, new, old = map(quoted, (name, f"{short}_reset_new", f"{short}_reset_old"))
    for left in (new, old):
        await drop_database(connection, left)
    form, usual = await read_forms(connection, name)
    options = create_options(form, usual)
    if owner is not None:
        options = f"OWNER {quoted(owner)} {options}"
    await connection.execute(f"CREATE DATABASE {new} {options}")
    for attempt in range(_ATTEMPTS):
        try:
            await connection.fetchval(_END_SESSIONS, name)
            async with connection.transaction():
                await connection.execute(f"ALTER DATABASE {current} RENAME TO {old}")
                await connection.execute(f"ALTER DATABASE {new} RENAME TO {current}")
            break
        except asyncpg.ObjectInUseError as error:
            if attempt == _ATTEMPTS - 1:
                await drop_database(connection, new)
                raise LockHeldError(
                    f"Other sessions keep connecting to {name}. The database is as it was. Stop "
                    "the application, then run the command again."
                ) from error
            await asyncio.sleep(_PAUSE)
    await drop_database(connection, old)
