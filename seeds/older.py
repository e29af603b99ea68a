"""Rows for a database whose schema is older than the code, or newer: whatever goes in, goes in."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import asyncpg

from seeds.generate import Plan, generate
from seeds.rows import TABLES, Row

if TYPE_CHECKING:
    from asyncpg import Connection, Record

PLAN = Plan(seed=1, as_of=date(2026, 1, 1), organizations=2, opportunities=40)

_COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


async def fill(connection: "Connection[Record]") -> None:
    """Put the planned rows into each table that is there and has none of them yet.

    Only into columns that the table has. A table whose schema does not take them stays as it is.
    """
    organizations = list(generate(PLAN))
    for table, kind in TABLES.items():
        there = {row["attname"] for row in await connection.fetch(_COLUMNS, table)}
        columns = [column for column in kind._fields if column in there]
        if "id" in columns:
            rows = [row for organization in organizations for row in organization.of(table)]
            await _load(connection, table, columns, rows)


async def _load(
    connection: "Connection[Record]", table: str, columns: Sequence[str], rows: Sequence[Row]
) -> None:
    records = [tuple(getattr(row, column) for column in columns) for row in rows]
    try:
        await connection.copy_records_to_table(table, records=records, columns=columns)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        # They are there already; or another type, another rule, another required column is in the
        # way, and a later schema takes them.
        return
