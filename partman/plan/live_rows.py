"""Ask the live database what its rows say of a migration, in read-only transactions."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg

from partman.plan.model import PlannedStatement
from partman.plan.reach import is_one_change
from partman.plan.state import DatabaseState

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TIMEOUTS = """
SET LOCAL row_security = off; SET LOCAL statement_timeout = '2s'; SET LOCAL lock_timeout = '1s'
"""


async def has_rows_of_its_own(
    live: "Connection[Record]", scratch: "Connection[Record]", state: DatabaseState
) -> bool:
    """Whether a live table has rows, and the same one on a scratch database has none.

    Rows that are on the scratch database were inserted by migrations.
    """
    for table in state.tables.values():
        if await _has_row(live, table.qualified) and not await _has_row(scratch, table.qualified):
            return True
    return False


async def with_portion(live: "Connection[Record]", statement: PlannedStatement) -> PlannedStatement:
    """Return the statement with the number of rows that it changes, if it is a step."""
    if statement.step is None or not statement.unseen or not is_one_change(statement.sql):
        return statement
    return replace(statement, portion=await _expected_rows(live, statement.sql))


async def _has_row(connection: "Connection[Record]", table: str) -> bool:
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(_TIMEOUTS)
            return bool(await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table} LIMIT 1)"))
    except asyncpg.PostgresError:
        return False


async def _expected_rows(live: "Connection[Record]", sql: str) -> int | None:
    """Return the planner's estimate; None for what it cannot plan, as a column that is yet to be.

    EXPLAIN runs no statement.
    """
    try:
        async with live.transaction(readonly=True):
            await live.execute(_TIMEOUTS)
            [plan] = json.loads(await live.fetchval(f"EXPLAIN (FORMAT JSON) {sql}"))
    except asyncpg.PostgresError:
        return None
    nodes = plan["Plan"].get("Plans", [])
    return max((int(node["Plan Rows"]) for node in nodes), default=None)
