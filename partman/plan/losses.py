"""What the data-loss guard would say of a migration on the live database.

The scratch database has no rows. So what a migration takes away there is counted on the live
one, which is only read.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.migration.runner.guard import Loss
from partman.plan.model import Kind, PlannedStatement
from partman.plan.state import DatabaseState, Relation, StateColumn

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_DELETES_ALL = re.compile(r"\s*DELETE\s+FROM\s+(?:ONLY\s+)?([^\s;]+)\s*;?\s*", re.IGNORECASE)

# A look is not worth more: then the number is unknown.
_PATIENCE = "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '1s'"


@dataclass(frozen=True)
class Question:
    """Something that would be lost, if it is there: what, how, and the query that counts it."""

    what: str
    how: str
    count: str | None
    """None where no query can tell."""


def questions(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
    emptied: Iterable[int],
) -> list[Question]:
    """Return what a migration takes away of the live database.

    ``before`` and ``after`` are the scratch database's. What an earlier pending migration made
    holds nothing yet.
    """
    gone = [one for oid, one in _tables(live, before).items() if oid not in after.tables]
    return [
        *(_all_rows(one, "the table is gone") for one in gone),
        *_columns(live, before, after, statements),
        *(_all_rows(live.tables[oid], "all rows were deleted") for oid in sorted(emptied)),
        *_deletions(live, before, after, statements),
    ]


async def count(connection: "Connection[Record]", asked: Iterable[Question]) -> tuple[Loss, ...]:
    """Answer them on the live database; return what would be lost."""
    losses = []
    for question in asked:
        rows = await _count(connection, question.count)
        if rows != 0:
            losses.append(Loss(question.what, rows, question.how))
    return tuple(losses)


async def _count(connection: "Connection[Record]", sql: str | None) -> int | None:
    if sql is None:
        return None
    try:
        async with connection.transaction(readonly=True):
            # Rows that a policy hides are an error, and not zero rows.
            await connection.execute(f"SET LOCAL row_security = off; {_PATIENCE}")
            counted: int = await connection.fetchval(sql)
            return counted
    except asyncpg.PostgresError:
        return None


def _tables(live: DatabaseState, before: DatabaseState) -> dict[int, Relation]:
    return {oid: one for oid, one in live.tables.items() if oid in before.tables}


def _all_rows(table: Relation, how: str) -> Question:
    return Question(table.name, how, f"SELECT count(*) FROM {table.qualified}")


def _columns(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
) -> Iterator[Question]:
    rewritten = {work.table for one in statements for work in one.work if work.kind is Kind.REWRITE}
    for key, column in live.columns.items():
        if key not in before.columns or column.relation not in after.tables:
            continue
        table = live.tables[column.relation]
        what, now = f"{table.name}.{column.name}", after.columns.get(key)
        if now is None:
            values = f"SELECT count({column.name}) FROM {table.qualified}"
            yield Question(what, "the column is gone", values)
        elif now.type != before.columns[key].type and table.name in rewritten:
            how = f"the change from {column.type} to {now.type} altered values"
            yield Question(what, how, _altered(table, column, now, statements))


def _altered(
    table: Relation, column: StateColumn, now: StateColumn, statements: Sequence[PlannedStatement]
) -> str | None:
    """Count the values that do not read as they did when they are back in the old type."""
    if any(re.search(r"\bUSING\b", one.sql, re.IGNORECASE) for one in statements):
        return None
    there_and_back = f"{column.name}::{now.type}::{column.type}::text"
    return (
        f"SELECT count(*) FROM {table.qualified}"
        f" WHERE {there_and_back} IS DISTINCT FROM {column.name}::text"
    )


def _deletions(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
) -> Iterator[Question]:
    """Find DELETE without WHERE: with one, only the rows could tell."""
    there = {oid: one for oid, one in _tables(live, before).items() if oid in after.tables}
    for statement in statements:
        match = _DELETES_ALL.fullmatch(statement.sql)
        for oid, table in there.items():
            if match and match[1] in (table.name, table.qualified, before.tables[oid].name):
                yield _all_rows(table, "all rows were deleted")
