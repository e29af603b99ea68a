"""Refuse to commit a migration that lost data.

The guard compares the database before and after, not the text of the statements, so it also covers
raw SQL, CASCADE and functions. A loss is: a table that had rows is dropped or empty, a column that
had values is dropped, a change of type altered values.

It changes nothing about the statements: each runs once, as it is, without a savepoint. What is gone
afterwards cannot be read any more. So where the grammar says that a statement names a table or a
column to remove, the guard looks at that one before; before a statement that may do anything, it
asks over a connection of its own which tables have rows, and waits for no lock. What it could not
foresee counts as a loss of unknown size. The rows that statements update and delete are counted by
PostgreSQL (``pg_stat_get_xact_tuples_updated`` and the like).

The guard reads the initial state before the first statement that could remove or change rows. A
migration that only creates tables and indexes costs nothing, however many tables exist.
"""

import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from partman.grammar import ParsedStatement
from partman.grammar.names import quoted
from partman.migration.runner.distributed_run import tables_elsewhere
from partman.migration.runner.losses import CountableLoss, RowChanges
from partman.migration.runner.reach import Reach, reach_of
from partman.migration.runner.snapshot import (
    FIRST_USER_OID,
    Snapshot,
    Table,
    read_changeable,
    read_snapshot,
)
from partman.migration.runner.tables_with_rows import SideReader, read_with_rows
from partman.migration.runner.witnesses import Witnesses

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")

# Lists are sent as JSON: the driver would look up an array type with set_config, which not every
# role may call.
_NAMED = """
WITH RECURSIVE named AS (
    SELECT name, to_regclass(name)::oid AS oid FROM json_array_elements_text($1::text::json) AS name
    UNION
    SELECT name, inhrelid FROM named JOIN pg_catalog.pg_inherits ON inhparent = named.oid
)
SELECT name, named.oid, format('%I.%I', nspname, relname) AS sql
FROM named
JOIN pg_catalog.pg_class c ON c.oid = named.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""

_USER_FUNCTIONS = f"""
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_proc
    WHERE proname IN (SELECT json_array_elements_text($1::text::json))
        AND oid >= {FIRST_USER_OID}
)
"""

_COMMENTS_OF_TRIGGERS = """
SELECT description FROM pg_catalog.pg_trigger
JOIN pg_catalog.pg_description ON objoid = tgfoid AND classoid = 'pg_catalog.pg_proc'::regclass
WHERE tgrelid = $1 AND tgenabled IN ('O', 'A')
"""


@dataclass(frozen=True)
class _Values:
    """The values of a column before its type changes."""

    oid: int
    number: int
    checksum: "Record | None"


@dataclass(frozen=True)
class Outcome:
    """What a transaction has done to the rows that there were."""

    losses: tuple[CountableLoss, ...] = ()
    changes: tuple[RowChanges, ...] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, (*self.losses, *self.changes)))


class Guard:
    """Guards one transaction against data loss."""

    def __init__(
        self,
        connection: "Connection[Record]",
        side: SideReader,
        *,
        allows_losses: bool,
        no_event_triggers: bool,
        witnesses: Witnesses | None = None,
    ) -> None:
        """``side`` reads over another connection.

        ``allows_losses``: losses are counted before they happen, as nothing is rolled back.

        ``no_event_triggers``: whether no event trigger is enabled in the database. ``witnesses``:
        of a distributed database, where other nodes count what statements change.
        """
        self._connection = connection
        self._side = side
        self._allows_losses = allows_losses
        self._no_event_triggers = no_event_triggers
        self._witnesses = witnesses
        self._elsewhere: set[int] = set()
        """Tables whose rows are on other nodes, by OID."""
        self._start: Snapshot | None = None
        self._knows_all = False
        self._had_rows: dict[int, bool] = {}
        """Whether tables had rows at the start, by OID; of others it is not known."""
        self._rows: dict[int, int] = {}
        """Numbers of rows of tables that a statement removed, by OID."""
        self._values: dict[tuple[int, int], int] = {}
        """Numbers of values of dropped columns, by OID and number."""
        self._altered: list[CountableLoss] = []
        self._compared: set[tuple[int, int]] = set()

    async def watch(self, statement: ParsedStatement | None, run: Callable[[], Awaitable[T]]) -> T:
        """Run a statement of the migration; None is one that the grammar does not know."""
        reach = reach_of(statement)
        if reach.is_harmless and self._no_event_triggers:
            return await run()
        if self._start is None:
            self._start = await self._begin()
        retyped = await self._look(self._start, reach, statement) if self._start.tables else []
        result = await run()
        if retyped:
            await self._compare(self._start, retyped)
        return result

    @property
    def has_seen_nothing(self) -> bool:
        """Whether it had nothing to look at: no statement could remove or change anything."""
        return self._start is None

    async def finish(self) -> Outcome:
        """Return what the transaction has done. Call this before the commit."""
        if self._start is None:
            return Outcome()
        start, end = self._start, await read_snapshot(self._connection)
        losses = (
            *self._altered,
            *self._gone_tables(start, end),
            *self._gone_columns(start, end),
            *self._retyped_unseen(start, end),
            *await self._emptied(start, end),
        )
        return Outcome(losses, tuple(_changes(start, end)))

    # Before a statement

    async def _begin(self) -> Snapshot:
        start = await read_snapshot(self._connection)
        if self._witnesses:
            # In this transaction, in which policies hide no rows on other nodes.
            self._elsewhere = await tables_elsewhere(self._connection)
            await self._learn(start.tables[oid] for oid in self._elsewhere & start.tables.keys())
        return start

    async def _look(
        self, start: Snapshot, reach: Reach, statement: ParsedStatement | None
    ) -> list[_Values]:
        """Look at what the statement may remove; return the values that it may change."""
        if reach.is_unknown or await self._calls_user_functions(reach):
            await self._learn_all(start)
        if not reach.tables:
            return []
        named = await self._named(start, reach)
        for name in reach.removed:
            if name in named:
                # The lock that the statement is about to take: no row comes in between.
                await self._connection.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        await self._learn(table for tables in named.values() for table in tables)
        if self._allows_losses:
            await self._count_rows(table for name in reach.removed for table in named.get(name, ()))
        for name, column in reach.dropped_columns:
            for table in named.get(name, ()):
                await self._look_at_column(table, column)
        return await self._look_at_retyped(reach, named, statement)

    async def _named(self, start: Snapshot, reach: Reach) -> dict[str, list[Table]]:
        """Return the tables of each name, with its partitions, that there were at the start.

        They are returned under their present names: the migration may have renamed them.
        """
        named: dict[str, list[Table]] = {}
        for row in await self._connection.fetch(_NAMED, json.dumps(reach.tables)):
            if row["oid"] in start.tables:
                table = dataclasses.replace(start.tables[row["oid"]], sql=row["sql"])
                named.setdefault(row["name"], []).append(table)
        return named

    async def _count_rows(self, tables: Iterable[Table]) -> None:
        for table in tables:
            if self._had_rows[table.oid] and table.oid not in self._rows:
                self._rows[table.oid] = await self._count(table, "*")

    async def _look_at_retyped(
        self, reach: Reach, named: dict[str, list[Table]], statement: ParsedStatement | None
    ) -> list[_Values]:
        retyped = [
            (table, column)
            for name, column in reach.retyped_columns
            for table in named.get(name, ())
            if self._had_rows[table.oid]
        ]
        if not retyped or not await self._side.rewrites(self._connection, statement):
            return []
        return [await self._values_of(table, column) for table, column in retyped]

    async def _calls_user_functions(self, reach: Reach) -> bool:
        if not reach.functions:
            return False
        return bool(await self._connection.fetchval(_USER_FUNCTIONS, json.dumps(reach.functions)))

    async def _learn(self, tables: Iterable[Table]) -> None:
        unknown = [table for table in tables if table.oid not in self._had_rows]
        if unknown:
            self._had_rows |= await read_with_rows(self._connection, unknown, self._witnesses)

    async def _learn_all(self, start: Snapshot) -> None:
        if self._knows_all:
            return
        self._knows_all = True
        unknown = [table for oid, table in start.tables.items() if oid not in self._had_rows]
        mine, others = await self._side.divide_by_lock(self._connection, unknown)
        await self._learn(mine)
        self._had_rows |= await self._side.read_with_rows(others)

    async def _look_at_column(self, table: Table, column: str) -> None:
        number = await self._number(table, column)
        if number is None or not self._had_rows[table.oid] or (table.oid, number) in self._values:
            return
        if await self._is_in_step(table, column):
            values = 0  # another column has them
        elif self._allows_losses:
            values = await self._count(table, quoted(column))
        else:  # one is enough to refuse
            values = await self._connection.fetchval(
                f"SELECT count(*) FROM (SELECT 1 FROM {table.sql}"
                f" WHERE {quoted(column)} IS NOT NULL LIMIT 1) AS one"
            )
        self._values[table.oid, number] = values

    async def _is_in_step(self, table: Table, column: str) -> bool:
        """Whether a trigger has kept the column in step with another one, for the old code."""
        comments = await self._connection.fetch(_COMMENTS_OF_TRIGGERS, table.oid)
        if not comments:
            return False
        from partman.catalog.expansions import of_comment  # and with it the whole catalog

        contracts = [of_comment(row["description"]) for row in comments]
        return any(each is not None and each.old == quoted(column) for each in contracts)

    async def _values_of(self, table: Table, column: str) -> _Values:
        number = await self._number(table, column)
        if number is None or self._start is None or (table.oid, number) not in self._start.columns:
            return _Values(table.oid, 0, None)
        await self._connection.execute(f"LOCK TABLE {table.sql} IN ACCESS EXCLUSIVE MODE")
        before = self._start.columns[table.oid, number]
        return _Values(
            table.oid, number, await self._checksum(table.sql, quoted(column), before.type)
        )

    # After a statement

    async def _compare(self, start: Snapshot, retyped: Iterable[_Values]) -> None:
        now = await read_snapshot(self._connection)
        for values in retyped:
            key = (values.oid, values.number)
            if key not in now.columns or key not in start.columns:
                continue
            self._compared.add(key)
            before, after = start.columns[key], now.columns[key]
            if before.type == after.type or before.filenode == after.filenode:
                continue
            # Cast back to the old type, an unaltered value has the same text.
            found = await self._checksum(now.tables[values.oid].sql, after.name, before.type)
            if found is None or found != values.checksum:
                how = f"the change from {before.type} to {after.type} altered values"
                rows = values.checksum["count"] if values.checksum else None
                table = start.tables[values.oid].name
                self._altered.append(CountableLoss.of(table, how, rows, before.name))

    def _gone_tables(self, start: Snapshot, end: Snapshot) -> list[CountableLoss]:
        return [
            CountableLoss.of(table.name, "the table is gone", self._rows.get(oid))
            for oid, table in start.tables.items()
            if oid not in end.tables and self._had_rows.get(oid, True)
        ]

    def _gone_columns(self, start: Snapshot, end: Snapshot) -> list[CountableLoss]:
        losses = []
        for (oid, number), column in start.columns.items():
            if (oid, number) in end.columns or oid not in end.tables:
                continue
            values = self._values.get((oid, number))
            if self._had_rows.get(oid, True) and values != 0:
                counted = values if self._allows_losses else None
                table = start.tables[oid].name
                losses.append(CountableLoss.of(table, "the column is gone", counted, column.name))
        return losses

    def _retyped_unseen(self, start: Snapshot, end: Snapshot) -> list[CountableLoss]:
        """Find changes of type whose values could not be compared."""
        losses = []
        for key, before in start.columns.items():
            after = end.columns.get(key)
            if after is None or key in self._compared or not self._had_rows.get(key[0], True):
                continue
            if after.type != before.type and after.filenode != before.filenode:
                how = f"the change from {before.type} to {after.type} may have altered values"
                losses.append(CountableLoss.of(start.tables[key[0]].name, how, None, before.name))
        return losses

    async def _emptied(self, start: Snapshot, end: Snapshot) -> list[CountableLoss]:
        counts = end.are_rows_counted
        changeable = set() if counts else await read_changeable(self._connection)
        losses = []
        elsewhere = await self._have_rows_elsewhere(end)
        for oid, table in start.tables.items():
            if (after := end.tables.get(oid)) is None:
                continue
            deleted = (after.deleted - table.deleted) - (after.inserted - table.inserted)
            has_new_file = after.filenode != table.filenode
            if has_new_file or oid in self._elsewhere:
                suspected, rows = self._had_rows.get(oid, True), self._rows.get(oid)
            elif counts:
                suspected, rows = deleted > 0, deleted
            else:  # track_counts is off
                suspected, rows = oid in changeable and self._had_rows.get(oid, True), None
            if suspected and not (elsewhere.get(oid) or await self._has_rows(after)):
                losses.append(CountableLoss.of(table.name, "all rows were deleted", rows))
        return losses

    # Reading

    async def _have_rows_elsewhere(self, end: Snapshot) -> dict[int, bool]:
        """Return which tables of other nodes have rows, of those that had some at the start."""
        oids = (oid for oid in self._elsewhere & end.tables.keys() if self._had_rows.get(oid, True))
        had = [end.tables[oid] for oid in oids]
        return await read_with_rows(self._connection, had, self._witnesses)

    async def _has_rows(self, table: Table) -> bool:
        return bool(
            await self._connection.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM ONLY {table.sql} LIMIT 1)"
            )
        )

    async def _number(self, table: Table, column: str) -> int | None:
        number: int | None = await self._connection.fetchval(
            "SELECT attnum FROM pg_catalog.pg_attribute"
            " WHERE attrelid = $1 AND attname = $2::text AND NOT attisdropped",
            table.oid,
            column,
        )
        return number

    async def _count(self, table: Table, what: str) -> int:
        number: int = await self._connection.fetchval(f"SELECT count({what}) FROM {table.sql}")
        return number

    async def _checksum(self, table: str, column: str, as_type: str) -> "Record | None":
        """Return a checksum of a column's values as a type; None if they cannot be cast to it."""
        # The statements of the migration stay outside of this savepoint.
        await self._connection.execute("SAVEPOINT partman_checksum")
        try:
            return await self._connection.fetchrow(
                f"SELECT count({column}),"
                f" sum(hashtextextended({column}::{as_type}::text, 0)::numeric) FROM {table}"
            )
        except asyncpg.PostgresError:
            await self._connection.execute("ROLLBACK TO SAVEPOINT partman_checksum")
            return None
        finally:
            await self._connection.execute("RELEASE SAVEPOINT partman_checksum")


def _changes(start: Snapshot, end: Snapshot) -> Iterator[RowChanges]:
    for oid, table in start.tables.items():
        if after := end.tables.get(oid):
            updated, deleted = after.updated - table.updated, after.deleted - table.deleted
            if updated > 0 or deleted > 0:  # TRUNCATE sets the counters back
                yield RowChanges(table.name, max(0, updated), max(0, deleted))
