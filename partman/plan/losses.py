"""What the data-loss guard would report for a migration on the live database.

The scratch database has no rows. So what a migration removes there is counted on the live
database, in read-only transactions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.migration.runner.losses import Loss
from partman.plan.model import PlannedStatement, WorkKind
from partman.plan.sql import converts, deletes_all
from partman.plan.state import DatabaseState, Relation, StateColumn

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# A count that takes longer, or waits for a lock, is reported as unknown.
_TIMEOUTS = "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '1s'"


@dataclass(frozen=True)
class LossQuery:
    """A possible loss: what, how, and the query that counts its rows or values."""

    what: str
    how: str
    count: str | None
    """None if no query can count them."""
    is_structural: bool = True
    """Whether it takes all rows, or all values of a column."""


def loss_queries(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
    emptied: Iterable[int],
) -> list[LossQuery]:
    """Return queries for all that a migration removes from the live database.

    ``before`` and ``after`` are states of the scratch database. A table that an earlier pending
    migration created has no rows yet, so it is left out.
    """
    dropped = [table for oid, table in _tables(live, before).items() if oid not in after.tables]
    return [
        *(_all_rows(table, "the table is gone") for table in dropped),
        *_columns(live, before, after, statements),
        *(
            _all_rows(live.tables[oid], "all rows were deleted")
            for oid in sorted(emptied)
            if oid in live.tables
        ),
        *_deletions(live, before, after, statements),
    ]


def structural_losses(
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
    emptied: Iterable[int],
) -> list[Loss]:
    """Return what a migration takes from a database that has rows in every table.

    ``before`` and ``after`` are states of the scratch database.
    """
    queries = [
        query
        for query in loss_queries(before, before, after, statements, emptied)
        if query.is_structural
    ]
    return [Loss(query.what, query.how, None) for query in queries]


async def count_losses(
    connection: "Connection[Record]", queries: Iterable[LossQuery]
) -> tuple[Loss, ...]:
    """Run the queries on the live database; return the losses that are not zero."""
    losses = []
    for query in queries:
        rows = await count(connection, query.count)
        if rows != 0:
            losses.append(Loss(query.what, query.how, rows))
    return tuple(losses)


async def count(connection: "Connection[Record]", sql: str | None) -> int | None:
    """Run a query for a number on the live database; return None if it cannot be told."""
    if sql is None:
        return None
    try:
        async with connection.transaction(readonly=True):
            # Off, rows that a policy hides raise an error instead of not being counted.
            await connection.execute(f"SET LOCAL row_security = off; {_TIMEOUTS}")
            counted: int = await connection.fetchval(sql)
            return counted
    except asyncpg.PostgresError:
        return None


def _tables(live: DatabaseState, before: DatabaseState) -> dict[int, Relation]:
    return {oid: table for oid, table in live.tables.items() if oid in before.tables}


def _all_rows(table: Relation, how: str) -> LossQuery:
    return LossQuery(table.name, how, f"SELECT count(*) FROM {table.qualified}")


def _columns(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
) -> Iterator[LossQuery]:
    rewritten = {
        work.table
        for statement in statements
        for work in statement.work
        if work.kind is WorkKind.REWRITE
    }
    for key, column in live.columns.items():
        if key not in before.columns or column.relation not in after.tables:
            continue
        table = live.tables[column.relation]
        what, now = f"{table.name}.{column.name}", after.columns.get(key)
        if now is None and not before.columns[key].in_step:
            values = f"SELECT count({column.name}) FROM {table.qualified}"
            yield LossQuery(what, "the column is gone", values)
        elif now is not None and table.name in rewritten:
            changed = now.type != before.columns[key].type
            how = f"the change from {column.type} to {now.type} altered values"
            if any(converts(statement.sql, column.name) for statement in statements):
                # It may do anything.
                how = how if changed else "the USING clause altered values"
                yield LossQuery(what, how, None, is_structural=False)
            elif changed and not (column.labels and now.labels):  # a label is kept, or it fails
                yield LossQuery(what, how, _altered(table, column, now), is_structural=False)


def _altered(table: Relation, column: StateColumn, now: StateColumn) -> str:
    """Return a query for the values that a cast to the new type and back changes."""
    round_trip = f"{column.name}::{now.type}::{column.type}::text"
    return (
        f"SELECT count(*) FROM {table.qualified}"
        f" WHERE {round_trip} IS DISTINCT FROM {column.name}::text"
    )


def _deletions(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
) -> Iterator[LossQuery]:
    """Find DELETE without WHERE; the effect of one with WHERE depends on the rows."""
    tables = {oid: table for oid, table in _tables(live, before).items() if oid in after.tables}
    for statement in statements:
        deleted = deletes_all(statement.sql)
        for oid, table in tables.items():
            if deleted & {table.name, table.qualified, before.tables[oid].name}:
                yield _all_rows(table, "all rows were deleted")
