"""Rows for a database whose schema is older or newer than the code: insert what fits."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import asyncpg

from seeds.generate import SeedPlan, generate
from seeds.rows import ROW_TYPES, Row
from seeds.tables import seeded_tables

if TYPE_CHECKING:
    from asyncpg import Connection, Record

PLAN = SeedPlan(seed=1, as_of=date(2026, 1, 1), organizations=2, opportunities=40)

_COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


async def fill(connection: "Connection[Record]") -> None:
    """Insert the planned rows into each table that exists and has none of them yet.

    Only columns that the table has are used. A table whose schema rejects the rows stays unchanged.
    """
    organizations = list(generate(PLAN))
    for table in seeded_tables():
        rows = [row for organization in organizations for row in organization.of(table)]
        await _load(connection, table, ROW_TYPES[table]._fields, rows)
    accounts = [
        _Account(number, address, organization is None, organization, address)
        for number, address, organization in (
            (1, "operator@console.example", None),
            (2, "admin@console.example", organizations[0].of("organizations")[0].id),
        )
    ]
    await _load(connection, "console_accounts", _Account._fields, accounts)
    sessions = [_Session(each.id, f"of {each.username}", each.id) for each in accounts]
    await _load(connection, "console_sessions", _Session._fields, sessions)


class _Account(NamedTuple):
    """An account without a valid password hash, so nobody can sign in with it."""

    id: int
    username: str
    superuser: bool
    organization_id: UUID | None
    email: str
    password: str = "pbkdf2_sha256$1$none$0"  # noqa: S105 -- no password has this hash


class _Session(NamedTuple):
    id: int
    token: str
    user_id: int


async def _load(
    connection: "Connection[Record]",
    table: str,
    fields: Sequence[str],
    rows: "Sequence[Row | _Account | _Session]",
) -> None:
    there = {row["attname"] for row in await connection.fetch(_COLUMNS, table)}
    columns = [column for column in fields if column in there]
    if "id" not in columns:
        return
    records = [tuple(getattr(row, column) for column in columns) for row in rows]
    try:
        await connection.copy_records_to_table(table, records=records, columns=columns)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        # The rows exist already; or another type, constraint or required column rejects them, and a
        # later schema accepts them.
        return
