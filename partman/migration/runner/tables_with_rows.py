"""Which tables have rows, asked without waiting for another session."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connect
from partman.database.explain import CONNECTION_LOST
from partman.errors import PartmanError
from partman.grammar import ParsedStatement
from partman.grammar.names import literal, quoted
from partman.migration.runner.snapshot import Table
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LOCK_TIMEOUT_MS = 100
_TRIES = 3

_EXCLUSIVE = """
SELECT relation, bool_and(pid = pg_backend_pid()) AS mine FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
GROUP BY relation
"""

_READABLE = """
SELECT c.oid, has_schema_privilege(c.relnamespace, 'USAGE')
    AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AS is_readable
FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])
"""


async def read_with_rows(
    connection: "Connection[Record]", tables: Sequence[Table]
) -> dict[int, bool]:
    """Return which tables have rows, by OID; those that the role cannot read count as having some.

    A table that is gone meanwhile is left out. Raises asyncpg.PostgresError.
    """
    if not tables:
        return {}
    rows = await connection.fetch(_READABLE, [table.oid for table in tables])
    readable = {row["oid"]: row["is_readable"] for row in rows}
    queries = " UNION ALL ".join(
        f"SELECT {table.oid}::oid, EXISTS (SELECT 1 FROM {table.sql})"
        for table in tables
        if readable.get(table.oid)
    )
    found = await connection.fetch(queries) if queries else []
    return {oid: True for oid, seen in readable.items() if not seen} | dict(map(tuple, found))


class SideReader:
    """Reads over a connection of its own, so that no lock stays with the migration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def divide_by_lock(
        self, connection: "Connection[Record]", tables: Iterable[Table]
    ) -> tuple[list[Table], list[Table]]:
        """Return the tables that this session has locked for itself, and those that nobody has.

        Tables that another session locks, or waits to lock, are in neither.
        """
        rows = await connection.fetch(_EXCLUSIVE)
        locked = {row["relation"]: row["mine"] for row in rows}
        tables = list(tables)
        mine = [table for table in tables if locked.get(table.oid)]
        return mine, [table for table in tables if table.oid not in locked]

    async def read_with_rows(self, tables: Sequence[Table]) -> dict[int, bool]:
        """Return which tables have rows; where it cannot be asked, nothing of them."""
        with contextlib.suppress(PartmanError, *CONNECTION_LOST):
            async with self._connected() as connection:
                for _ in range(_TRIES if tables else 0):
                    _, free = await self.divide_by_lock(connection, tables)
                    with contextlib.suppress(
                        asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError
                    ):
                        return await read_with_rows(connection, free)
        return {}

    async def rewrites(
        self, connection: "Connection[Record]", statement: ParsedStatement | None
    ) -> bool:
        """Whether an ALTER TABLE rewrites its table; True where that cannot be found out.

        The statement is run on an empty temporary table of the same name and columns.
        """
        if statement is None or "schemaname" in statement.node["relation"]:
            return True
        name = quoted(statement.node["relation"]["relname"])
        session = await connection.fetchrow(
            "SELECT current_setting('search_path') AS path, current_setting('TimeZone') AS zone,"
            " to_regclass($1)::oid AS oid",
            name,
        )
        assert session is not None
        with contextlib.suppress(PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
            async with self._connected() as side:
                source = await side.fetchval(
                    "SELECT format('%I.%I', nspname, relname) FROM pg_catalog.pg_class c"
                    " JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE c.oid = $1",
                    session["oid"],
                )
                await side.execute(f"CREATE TEMP TABLE {name} (LIKE {source})")
                path = f"pg_temp, {session['path']}" if session["path"] else "pg_temp"
                await side.execute(
                    f"SET search_path = {path}; SET TimeZone = {literal(session['zone'])}"
                )
                file = (
                    "SELECT relfilenode FROM pg_catalog.pg_class"
                    f" WHERE oid = {literal(name)}::regclass"
                )
                before = await side.fetchval(file)
                await side.execute(statement.text)
                return bool(await side.fetchval(file) != before)
        return True

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["Connection[Record]"]:
        connection = await connect(
            self._settings, application_name="partman: guard", statement_cache_size=0
        )
        try:
            await connection.execute(
                f"SET lock_timeout = {_LOCK_TIMEOUT_MS}; SET row_security = off"
            )
            await connection.execute("BEGIN")
            yield connection
        finally:
            connection.terminate()
