"""Create temporary databases that are dropped even if their process is killed.

A scratch database is called ``partman_scratch_<id>``. A session, its keeper, holds the advisory
lock with that id from before the database is created until after it is dropped. When the process
is killed, the server ends the session and releases the lock. So a database of that name whose lock
no session of the server holds was left by a dead process, and the next command drops it.

The id is 64 random bits and never used again. So no other process can create a database of the
same name between the check of the lock and the drop.

A scratch database has the form of the live one (database_form.py), so that a statement does the
same in both.
"""

import asyncio
import contextlib
import functools
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from partman.connection_url import describe
from partman.database.connection import connect, database_url
from partman.database.database_form import alter_statements, create_options, read_forms
from partman.database.explain import CONNECTION_LOST, server_message
from partman.database.poolers import refuse_transaction_pooling
from partman.database.standby import refuse_standby
from partman.errors import DatabaseUnavailableError, PartmanError, PermissionDeniedError
from partman.settings import DatabaseForm, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.scratch")

PREFIX = "partman_scratch_"

# A lock on a bigint shows its halves as classid and objid, with objsubid 1.
_LEFT_BEHIND = f"""
SELECT datname FROM pg_database
WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}$'
    -- Only databases that this role may drop.
    AND pg_has_role(datdba, 'USAGE')
    AND NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
            AND lpad(to_hex(classid::bigint), 8, '0') || lpad(to_hex(objid::bigint), 8, '0')
                = right(datname, 16)
    )
"""

_COMPLETE = "partman: complete"
_IS_COMPLETE = f"""
SELECT shobj_description(oid, 'pg_database') = '{_COMPLETE}' FROM pg_database WHERE datname = $1
"""

# CREATE DATABASE ... TEMPLATE copies a database's contents, but not the privileges on it.
_GRANTS = """
SELECT format('GRANT %s ON DATABASE %I TO %s', acl.privilege_type, $2::text,
        CASE acl.grantee WHEN 0 THEN 'PUBLIC' WHEN datdba THEN 'CURRENT_USER'
            ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
    || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_database CROSS JOIN LATERAL aclexplode(datacl) acl
WHERE datname = $1
"""

# Copying files costs half as much as logging their contents, but needs two checkpoints of the whole
# server. Where nothing waits for the disk, as on servers for tests, they cost nothing.
_COPIES_FILES = "SELECT current_setting('fsync') = 'off'"

# Overrides settings of role and database: the keeper is idle for as long as the work takes, and a
# read-only setting is meant for the live database.
_KEEPER_SETTINGS = """
SET idle_session_timeout = 0;
SET statement_timeout = 0;
SET default_transaction_read_only = off
"""

_FAILED = (asyncpg.PostgresError, *CONNECTION_LOST)


@asynccontextmanager
async def scratch_database(
    settings: Settings, *, template: str | None = None
) -> AsyncIterator[Settings]:
    """Create an empty database on the server of ``settings``; yield settings that connect to it.

    It has the encoding and the locale of the database of ``settings``, and its sessions start with
    the same settings; or those of its ``scratch_form``. ``template`` is the name of a database to
    copy instead, including the grants on it. No session may be connected to it. Raises
    PermissionDeniedError if the role may not create databases, and the errors of connect().
    """
    url = await asyncio.to_thread(database_url, settings)
    number = secrets.randbits(64)
    name = f"{PREFIX}{number:016x}"
    async with _keeper(settings) as keeper:
        await keeper.fetch("SELECT pg_advisory_lock($1)", _signed(number))
        try:
            yield await _created(settings, keeper, name, template, url)
        finally:
            await _ensure_dropped(settings, keeper, name)


@asynccontextmanager
async def shared_scratch_database(
    settings: Settings, number: int, build: Callable[[Settings], Awaitable[None]]
) -> AsyncIterator[str]:
    """Create a scratch database that processes with the same 64-bit ``number`` share.

    Yield its name. The first process builds it, with ``build`` and settings that connect to it; the
    others wait for that. The last one drops it: each holds the lock in shared mode. The number must
    not be used again by later processes. Raises the errors of scratch_database() and of ``build``.
    """
    url = await asyncio.to_thread(database_url, settings)
    name, key = f"{PREFIX}{number:016x}", _signed(number)
    async with _keeper(settings) as keeper:
        await keeper.fetch("SELECT pg_advisory_lock_shared($1)", key)
        # A lock of its own: one who waited for exclusive use would wait for all who use it.
        await keeper.fetch("SELECT pg_advisory_lock($1)", key ^ 1)
        if not await keeper.fetchval(_IS_COMPLETE, name):
            await _build(settings, keeper, name, build, url)
        await keeper.fetch("SELECT pg_advisory_unlock($1)", key ^ 1)
        try:
            yield name
        finally:
            with contextlib.suppress(*_FAILED):  # the lock is lost: the next command drops it
                await keeper.fetch("SELECT pg_advisory_unlock_shared($1)", key)
                if await keeper.fetchval("SELECT pg_try_advisory_lock($1)", key):
                    await _ensure_dropped(settings, keeper, name)


@asynccontextmanager
async def one_keeper(settings: Settings) -> AsyncIterator[None]:
    """Have one session keep all scratch databases that the block creates with these settings.

    They are created one after the other; several may exist at once. Raises the errors of
    scratch_database().
    """
    async with _keeper(settings) as keeper:
        token = _shared.set((settings, keeper))
        try:
            yield
        finally:
            _shared.reset(token)


_shared: "ContextVar[tuple[Settings, Connection[Record]] | None]" = ContextVar(
    "_shared", default=None
)


@asynccontextmanager
async def _keeper(settings: Settings) -> AsyncIterator["Connection[Record]"]:
    """Open the session that holds locks; drop what dead processes left. Raises PartmanError."""
    shared = _shared.get()
    if shared and shared[0] == settings and not shared[1].is_closed():
        yield shared[1]
        return
    keeper = await _connect(settings)
    try:
        await refuse_transaction_pooling(keeper, settings)
        await refuse_standby(
            keeper,
            remedy="Run the command with --scratch embedded, or set DATABASE_URL to the primary",
        )
        await keeper.execute(_KEEPER_SETTINGS)
        await sweep(keeper)
        yield keeper
    finally:
        keeper.terminate()


async def _build(
    settings: Settings,
    keeper: "Connection[Record]",
    name: str,
    build: Callable[[Settings], Awaitable[None]],
    url: str,
) -> None:
    await drop_database(keeper, name)  # a process may have been killed while it built it
    try:
        scratch = await _created(settings, keeper, name, None, url)
        await build(scratch)
        await keeper.execute(f"COMMENT ON DATABASE {name} IS '{_COMPLETE}'")
    except BaseException:
        await _ensure_dropped(settings, keeper, name)
        raise


async def sweep(connection: "Connection[Record]") -> list[str]:
    """Drop the scratch databases that dead processes left on the server; return their names."""
    names = [row["datname"] for row in await connection.fetch(_LEFT_BEHIND)]
    for name in names:
        # Another process may be dropping it too, and a failure must not stop this command.
        with contextlib.suppress(asyncpg.PostgresError):
            await drop_database(connection, name)
    return names


async def _created(
    settings: Settings, keeper: "Connection[Record]", name: str, template: str | None, url: str
) -> Settings:
    """Create the database; return settings that connect to it. Raises PartmanError."""
    form = await _create(keeper, name, template, settings, describe(url))
    return replace(
        settings,
        database_url=with_database(url, name),
        driver_options=_starting_with(settings.driver_options, form),
    )


async def _create(
    keeper: "Connection[Record]", name: str, template: str | None, settings: Settings, where: str
) -> DatabaseForm:
    try:
        own, usual = await read_forms(keeper, template)
        form = settings.scratch_form or own
        options = f"TEMPLATE {_quoted(template)}" if template else create_options(form, usual)
        strategy = "STRATEGY FILE_COPY" if await keeper.fetchval(_COPIES_FILES) else ""
        await keeper.execute(f"CREATE DATABASE {name} {options} {strategy}")
        if template:
            await _alter(keeper, list(alter_statements(own, name)))
        elif options and settings.database_url is None:
            await _add_privileges(settings, name)
        if template and (grants := await keeper.fetch(_GRANTS, template, name)):
            await keeper.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC, CURRENT_USER")
            for (grant,) in grants:
                await keeper.execute(grant)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
        raise PermissionDeniedError(
            f"{where}: the role cannot create a scratch database: {error}. Nothing was changed. "
            "Run the command with --scratch embedded, which needs no privilege on this server, or "
            "allow the role to create databases: ALTER ROLE ... CREATEDB"
        ) from error
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailableError(
            f"{where}: cannot create a scratch database: {server_message(error)}. Nothing was "
            "changed. Run the command again, or with --scratch embedded."
        ) from error
    return form


def _starting_with(options: Mapping[str, Any], form: DatabaseForm) -> Mapping[str, Any]:
    """Return the driver's options with which sessions start as those of the live database do.

    The database itself has no settings but those that migrations give it: they are compared.
    """
    if not form.session_parameters:
        return options
    parameters = dict(each.split("=", 1) for each in form.session_parameters)
    return {**options, "server_settings": {**parameters, **options.get("server_settings", {})}}


async def _alter(keeper: "Connection[Record]", statements: list[str]) -> None:
    """Run the statements at once; if one fails, one by one, with a warning for each that fails."""
    if not statements:
        return
    try:
        await keeper.execute("; ".join(statements))
    except asyncpg.PostgresError:
        for statement in statements:
            try:
                await keeper.execute(statement)
            except asyncpg.PostgresError as error:
                _warn(f"{statement.partition(' SET ')[2]} ({server_message(error)})")


async def _add_privileges(settings: Settings, name: str) -> None:
    """Do what the embedded server has done in its own template, which was not copied."""
    from partman.database import embedded  # not needed with a DATABASE_URL

    url = await asyncio.to_thread(database_url, settings)
    superuser = await asyncpg.connect(url, user=embedded.SUPERUSER, database=name)
    await superuser.execute(embedded.PRIVILEGES)
    await superuser.close()


@functools.cache  # a command creates several databases
def _warn(parameter: str) -> None:
    logger.warning("Scratch databases lack a setting of the database: %s", parameter)


async def _ensure_dropped(settings: Settings, keeper: "Connection[Record]", name: str) -> None:
    """Drop the database, over a new connection if the keeper's is lost.

    Logs a failure instead of raising it, so as not to hide an earlier error; the next command drops
    the database.
    """
    try:
        try:
            await drop_database(keeper, name)
        except _FAILED:
            connection = await _connect(settings)
            try:
                await connection.execute(_KEEPER_SETTINGS)
                await drop_database(connection, name)
            finally:
                connection.terminate()
    except (*_FAILED, PartmanError) as error:
        logger.warning("The scratch database %s could not be dropped: %s", name, error)


async def drop_database(connection: "Connection[Record]", name: str) -> None:
    """Drop a database, whose name is as in SQL, if there is one, with the sessions in it."""
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    except asyncpg.InsufficientPrivilegeError:
        # FORCE lacks the privilege to end an autovacuum worker; a plain DROP cancels the worker.
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")


async def _connect(settings: Settings) -> "Connection[Record]":
    return await connect(settings, application_name="partman: scratch database")


def _signed(number: int) -> int:
    """Return the bigint with the same bits."""
    return number - (1 << 64) if number >> 63 else number


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    parts = urlsplit(url)
    # Not urlunsplit, which drops the slashes of an empty host.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"
