"""Throw-away databases on the server that we work with, gone whatever happens.

A scratch database is called ``partman_scratch_<id>``, and the session that makes it holds the
advisory lock with that id from before the database is there until after it is gone. A killed
process takes the session with it, and the session the lock. So a database by that name whose lock
nobody holds, in any database of the server, was left by a dead process, and the next one drops it.

The id is 64 random bits, never used again: between the look at the lock and the drop nobody can
have made a database of the same name.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from partman.database.connection import connect, database_url, describe
from partman.database.explain import CONNECTION_LOST, said
from partman.database.poolers import refuse_transaction_pooling
from partman.errors import DatabaseUnavailableError, PartmanError, PermissionDeniedError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.scratch")

PREFIX = "partman_scratch_"

# A lock on a bigint shows its halves as classid and objid, with objsubid 1.
_LEFT_BEHIND = f"""
SELECT datname FROM pg_database
WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}$'
    -- Others' leftovers are theirs to drop.
    AND pg_has_role(datdba, 'USAGE')
    AND NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
            AND lpad(to_hex(classid::bigint), 8, '0') || lpad(to_hex(objid::bigint), 8, '0')
                = right(datname, 16)
    )
"""

# CREATE DATABASE ... TEMPLATE copies what is in the database, and not what may be done with it.
_GRANTS = """
SELECT format('GRANT %s ON DATABASE %I TO %s', acl.privilege_type, $2::text,
        CASE acl.grantee WHEN 0 THEN 'PUBLIC' WHEN datdba THEN 'CURRENT_USER'
            ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
    || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_database CROSS JOIN LATERAL aclexplode(datacl) acl
WHERE datname = $1
"""

# Whatever the role or the database have set: the keeper waits for as long as the work takes, and
# an operator's "read only" is meant for the database that we work on.
_KEEPER = """
SET idle_session_timeout = 0;
SET statement_timeout = 0;
SET default_transaction_read_only = off
"""

_FAILED = (asyncpg.PostgresError, *CONNECTION_LOST)


def on_embedded_server(settings: Settings) -> Settings:
    """Return settings with which scratch databases are made on the embedded server.

    For a role that may not create databases on the server it works on (``--scratch embedded``).
    """
    return replace(settings, database_url=None)


@asynccontextmanager
async def scratch_database(
    settings: Settings, *, template: str | None = None
) -> AsyncIterator[Settings]:
    """Make an empty database on the settings' server; give the settings to work on it.

    ``template`` is the name of a database to copy instead, with the grants on it. Nobody may be
    connected to that one. Raises PermissionDeniedError where the role may not create databases,
    and what connect() raises.
    """
    url = await asyncio.to_thread(database_url, settings)
    number = secrets.randbits(64)
    name = f"{PREFIX}{number:016x}"
    keeper = await _connect(settings)
    try:
        await refuse_transaction_pooling(keeper, settings)
        await keeper.execute(_KEEPER)
        await sweep(keeper)
        await keeper.fetch("SELECT pg_advisory_lock($1)", _signed(number))
        try:
            await _create(keeper, name, template, describe(url))
            yield replace(settings, database_url=_with_database(url, name))
        finally:
            await _drop_for_good(settings, keeper, name)
    finally:
        keeper.terminate()


async def sweep(connection: "Connection[Record]") -> list[str]:
    """Drop what dead processes have left on the server, and nothing else; return the names."""
    names = [row["datname"] for row in await connection.fetch(_LEFT_BEHIND)]
    for name in names:
        # Another one may be sweeping, too; and whatever it is, it is no reason not to go on.
        with contextlib.suppress(asyncpg.PostgresError):
            await _drop(connection, name)
    return names


async def _create(
    keeper: "Connection[Record]", name: str, template: str | None, where: str
) -> None:
    copy = f"TEMPLATE {_quoted(template)}" if template else ""
    try:
        await keeper.execute(f"CREATE DATABASE {name} {copy}")
        if template and (grants := await keeper.fetch(_GRANTS, template, name)):
            await keeper.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC, CURRENT_USER")
            for (grant,) in grants:
                await keeper.execute(grant)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
        raise PermissionDeniedError(
            f"{where} may not make a scratch database: {error}. Nothing was changed. Type the "
            "command with --scratch embedded, which needs no right on this server; or let the "
            "role create databases: ALTER ROLE ... CREATEDB"
        ) from error
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailableError(
            f"{where}: a scratch database cannot be made: {said(error)}. Nothing was changed. Try "
            "again, or type the command with --scratch embedded."
        ) from error


async def _drop_for_good(settings: Settings, keeper: "Connection[Record]", name: str) -> None:
    """Drop it, over a new connection where the keeper's is gone.

    Does not raise: there may be an error on its way already, and the next one sweeps up.
    """
    try:
        try:
            await _drop(keeper, name)
        except _FAILED:
            connection = await _connect(settings)
            try:
                await connection.execute(_KEEPER)
                await _drop(connection, name)
            finally:
                connection.terminate()
    except (*_FAILED, PartmanError) as error:
        logger.warning("The scratch database %s is still there: %s", name, error)


async def _drop(connection: "Connection[Record]", name: str) -> None:
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    except asyncpg.InsufficientPrivilegeError:
        # FORCE may not end an autovacuum worker, which without it is told to go.
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")


async def _connect(settings: Settings) -> "Connection[Record]":
    return await connect(settings, application_name="partman: scratch database")


def _signed(number: int) -> int:
    """Return the bigint with the same bits."""
    return number - (1 << 64) if number >> 63 else number


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    # Not urlunsplit, which drops the slashes of an empty host.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"
