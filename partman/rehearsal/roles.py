"""The roles that a copy on another server needs, which are created there and dropped afterwards.

A role belongs to the whole server, so a process that is killed leaves it behind. Its comment says
for what it was created, and the next rehearsal on that server drops it.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected
from partman.errors import PermissionDeniedError
from partman.grammar.names import literal
from partman.rehearsal.source import read_roles
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NAME = "partman rehearse: roles"
_COMMENT = "partman: created for a rehearsal, "

_LEFT_BEHIND = f"""
SELECT quote_ident(rolname) FROM pg_roles r
WHERE shobj_description(r.oid, 'pg_authid') LIKE '{_COMMENT}%'
    AND NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
            AND classid::bigint || '.' || objid::bigint
                = substr(shobj_description(r.oid, 'pg_authid'), {len(_COMMENT) + 1})
    )
"""


@asynccontextmanager
async def roles_of_source(live: Settings, scratch: Settings) -> AsyncIterator[None]:
    """Create for the duration of a block the roles that the scratch server lacks.

    Raises PermissionDeniedError.
    """
    if live.database_url == scratch.database_url:
        yield
        return
    needed = await read_roles(live)
    async with connected(scratch, _NAME) as connection:
        await connection.execute("SET idle_session_timeout = 0; SET statement_timeout = 0")
        for (name,) in await connection.fetch(_LEFT_BEHIND):
            await _drop(connection, name)
        first, second = os.getpid(), secrets.randbits(31)
        await connection.fetchval("SELECT pg_advisory_lock($1, $2)", first, second)
        existing = {
            row[0] for row in await connection.fetch("SELECT quote_ident(rolname) FROM pg_roles")
        }
        missing = [name for name in needed if name not in existing]
        try:
            for name in missing:
                await _create(connection, name, f"{_COMMENT}{first}.{second}")
            yield
        finally:
            for name in missing:
                await _drop(connection, name)


async def _create(connection: "Connection[Record]", name: str, comment: str) -> None:
    try:
        await connection.execute(
            f"BEGIN; CREATE ROLE {name} NOLOGIN; COMMENT ON ROLE {name} IS {literal(comment)};"
            f" GRANT {name} TO CURRENT_USER; COMMIT"
        )
    except asyncpg.InsufficientPrivilegeError as error:
        await connection.execute("ROLLBACK")
        raise PermissionDeniedError(
            f"The copy needs the role {name}, which its server lacks, and the role may not create "
            f"it: {error}. Nothing was changed. Create it there: CREATE ROLE {name} NOLOGIN"
        ) from error


async def _drop(connection: "Connection[Record]", name: str) -> None:
    """Drop a role, unless another database of the server needs it by now."""
    if connection.is_closed():
        return
    try:
        await connection.execute(f"DROP ROLE IF EXISTS {name}")
    except asyncpg.PostgresError:
        return
