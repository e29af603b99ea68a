"""Which tables have rows, asked without waiting for another session."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import KEEPS_NO_STATEMENT
from partman.database.explain import CONNECTION_LOST
from partman.database.side_connection import SideConnection
from partman.errors import PartmanError
from partman.grammar import ParsedStatement
from partman.grammar.names import literal, quoted
from partman.migration.runner.snapshot import Table
from partman.migration.runner.witnesses import Witnesses
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SESSION = "SET lock_timeout = 100; SET row_security = off"
_TRIES = 3

_EXCLUSIVE = """
SELECT relation, bool_and(pid = pg_backend_pid()) AS mine FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
GROUP BY relation
"""

_READABLE = """
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS sql,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        AND NOT row_security_active(c.oid) AS is_readable
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (
    SELECT value::oid FROM json_array_elements_text($1::text::json)
)
"""


async def read_with_rows(
    connection: "Connection[Record]", tables: Sequence[Table], witnesses: Witnesses | None = None
) -> dict[int, bool]:
    """Return which tables have rows, by OID; those that the role cannot read count as having some.

    A table that is gone meanwhile is left out. ``witnesses`` are asked first. Raises
    asyncpg.PostgresError.
    """
    if not tables:
        return {}
    rows = await connection.fetch(_READABLE, json.dumps([table.oid for table in tables]))
    readable = {row["oid"]: row["sql"] for row in rows if row["is_readable"]}
    seen = await witnesses.seen(connection, readable) if witnesses else {}
    queries = " UNION ALL ".join(
        f"SELECT {oid}::oid, EXISTS (SELECT 1 FROM {sql} LIMIT 1)"
        for oid, sql in readable.items()
        if oid not in seen
    )
    found = dict(map(tuple, await connection.fetch(queries))) if queries else {}
    if witnesses:
        await witnesses.learn(connection, {oid: readable[oid] for oid in found if found[oid]})
    hidden = {row["oid"]: True for row in rows if not row["is_readable"]}
    return hidden | seen | found


class SideReader:
    """Reads over a connection of its own, so that no lock stays with the migration.

    It connects when it is first used, and stays connected for the run.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = SideConnection(
            settings, "partman: guard", _SESSION, **KEEPS_NO_STATEMENT
        )

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

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
        for _ in range(_TRIES if tables else 0):
            # Another session may lock a table, or drop it, after it was looked at.
            with contextlib.suppress(PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
                connection = await self._connection.get()
                _, free = await self.divide_by_lock(connection, tables)
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
            side = await self._connection.get()
            trial = side.transaction()
            await trial.start()
            try:
                return await _rewrites(side, statement, name, session)
            finally:
                await trial.rollback()
        return True


async def _rewrites(
    side: "Connection[Record]", statement: ParsedStatement, name: str, session: "Record"
) -> bool:
    source = await side.fetchval(
        "SELECT format('%I.%I', nspname, relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE c.oid = $1",
        session["oid"],
    )
    await side.execute(f"CREATE TEMP TABLE {name} (LIKE {source})")
    path = f"pg_temp, {session['path']}" if session["path"] else "pg_temp"
    await side.execute(
        f"SET LOCAL search_path = {path}; SET LOCAL TimeZone = {literal(session['zone'])}"
    )
    file = f"SELECT relfilenode FROM pg_catalog.pg_class WHERE oid = {literal(name)}::regclass"
    before = await side.fetchval(file)
    await side.execute(statement.text)
    return bool(await side.fetchval(file) != before)
