"""The database that is copied: one snapshot, which every connection that reads it shares."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
    from asyncpg import Connection, Record

APPLICATION_NAME = "partman rehearse: source"
"""By which others see that a rehearsal is under way."""

# They hold before the first statement. A session that changes a table is waited for a second, and
# the sessions behind it wait as long.
_STARTUP = {
    "default_transaction_read_only": "on",
    "lock_timeout": "1000",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "row_security": "off",
    # As pg_dump has it: text that every session reads as the same value.
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_TABLES = """
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS sql, c.oid::regclass::text AS name,
    n.nspname::text AS schema, c.relname::text AS bare,
    pg_table_size(c.oid) AS size, c.reltuples::bigint AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
        AND objid = c.oid AND deptype = 'e')
ORDER BY size DESC, c.oid
"""

_COLUMNS = """
SELECT attrelid AS table, attname::text AS name, quote_ident(attname) AS sql,
    format_type(atttypid, NULL) AS type,
    CASE WHEN atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod > 4
        THEN atttypmod - 4 END AS length
FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""

_SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname) AS sql
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%'
"""

_VIEWS = """
SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'm' AND relispopulated ORDER BY c.oid
"""

# Which roles a database needs, PostgreSQL itself records, for DROP ROLE.
_ROLES = """
SELECT DISTINCT quote_ident(rolname) FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid
WHERE refclassid = 'pg_authid'::regclass
    AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class SourceColumn:
    """A column that is stored."""

    name: str
    sql: str
    """Quoted where needed."""
    type: str
    length: int | None
    """Of varchar(n) and char(n)."""


@dataclass(frozen=True)
class SourceTable:
    """A table with rows of its own."""

    oid: int
    sql: str
    """With its schema."""
    name: str
    """As SQL writes it with the session's search_path."""
    schema: str
    bare: str
    size: int
    """Bytes, without indexes."""
    rows: int
    """As the planner has it; -1 if it does not know."""
    columns: tuple[SourceColumn, ...]


@dataclass(frozen=True)
class Source:
    """A snapshot of a database."""

    settings: Settings
    connection: "Connection[Record]"
    """In a transaction that keeps the snapshot."""
    snapshot: str
    where: str
    """The database, without its password."""
    size: int
    """Bytes of the whole database."""
    tables: tuple[SourceTable, ...]
    """The largest first."""
    sequences: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    """The last value of each, and whether it was handed out."""
    materialized_views: tuple[str, ...] = ()

    @asynccontextmanager
    async def reader(self) -> "AsyncIterator[Connection[Record]]":
        """Connect once more, with the same snapshot."""
        async with _session(self.settings) as connection:
            await connection.execute(f"{_BEGIN}; SET TRANSACTION SNAPSHOT '{self.snapshot}'")
            yield connection


@asynccontextmanager
async def source_of(settings: Settings) -> AsyncIterator[Source]:
    """Take a snapshot of a database for the duration of a block, and read what it has.

    Raises the errors of connect(); ConcurrentSchemaChangeError if it would have to wait for a lock,
    and PermissionDeniedError if the role may not read all rows.
    """
    url = await asyncio.to_thread(database_url, settings)
    where = describe(url)
    async with _session(settings) as connection:
        async with explained(where):
            await connection.execute(_BEGIN)
            snapshot: str = await connection.fetchval("SELECT pg_export_snapshot()")
            source = await _read(settings, connection, snapshot, where)
        yield source


async def read_roles(settings: Settings) -> list[str]:
    """Return the roles that own something in a database, or have rights on it, quoted."""
    async with _session(settings) as connection:
        return [name for (name,) in await connection.fetch(_ROLES)]


async def _read(
    settings: Settings, connection: "Connection[Record]", snapshot: str, where: str
) -> Source:
    columns: dict[int, list[SourceColumn]] = {}
    for row in await connection.fetch(_COLUMNS):
        column = SourceColumn(row["name"], row["sql"], row["type"], row["length"])
        columns.setdefault(row["table"], []).append(column)
    tables = [
        SourceTable(**row, columns=tuple(columns.get(row["oid"], ())))
        for row in await connection.fetch(_TABLES)
    ]
    # A row that is hidden, a missing right and a lock are known before anything is copied.
    if tables:
        await connection.execute("; ".join(f"SELECT FROM ONLY {of.sql} LIMIT 0" for of in tables))
    sequences = {}
    for (sql,) in await connection.fetch(_SEQUENCES):
        found = await connection.fetchrow(f"SELECT last_value, is_called FROM {sql}")
        assert found is not None
        sequences[sql] = (found["last_value"], found["is_called"])
    return Source(
        settings,
        connection,
        snapshot,
        where,
        await connection.fetchval("SELECT pg_database_size(current_database())"),
        tuple(tables),
        sequences,
        tuple(name for (name,) in await connection.fetch(_VIEWS)),
    )


@asynccontextmanager
async def _session(settings: Settings) -> "AsyncIterator[Connection[Record]]":
    url = await asyncio.to_thread(database_url, settings)
    options = {**session_settings(settings, url, APPLICATION_NAME), **_STARTUP}
    async with connected(settings, APPLICATION_NAME, server_settings=options) as connection:
        if connection.get_server_version().major >= 17:
            await connection.execute("SET transaction_timeout = 0")
        yield connection


@asynccontextmanager
async def explained(where: str) -> AsyncIterator[None]:
    """Raise what the server says of the source as an error for a person."""
    try:
        yield
    except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
        raise _explained(error, where) from error


def _explained(error: Exception, where: str) -> PartmanError:
    said = server_message(error)
    match error:
        case asyncpg.LockNotAvailableError():
            return ConcurrentSchemaChangeError(
                f"{where}: another session is changing a table, and copying it would have to wait "
                "for it. Nothing was changed. Run the command again when that session is done."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{where}: the role cannot see all rows: {said}. Nothing was changed. A copy needs "
                "all of them: use a role that owns the tables or has BYPASSRLS, or a dump that "
                "such a role has made: partman rehearse --dump FILE"
            )
    return DatabaseUnavailableError(f"{where} cannot be copied: {said}. Nothing was changed.")
