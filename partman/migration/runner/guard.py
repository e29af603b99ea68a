"""Refuse to commit a migration that lost data.

The guard compares the database before and after, not the text of the statements, so it also covers
raw SQL, CASCADE and functions. A loss is: a table that had rows is dropped or empty, a column that
had values is dropped, a change of type altered values.

The values of a dropped column cannot be counted any more. So each statement that could remove
something runs after a savepoint. When the catalog shows that it did, the guard rolls back to the
savepoint, counts what is about to be removed, and runs the statement again. No row is read as long
as nothing is removed.

The guard reads the initial state before the first statement that could remove something or add
rows. A migration that only creates tables and indexes costs nothing, however many tables exist.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from partman.database import bookkeeping
from partman.errors import DataLossError
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")

logger = logging.getLogger("partman.run")

_WITHOUT_SAVEPOINT = (
    "COMMENT",
    "CREATE",
    "GRANT",
    "INSERT",
    "RELEASE",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "SHOW",
)
"""Statements that run without a savepoint, to save time. If one removes something after all, the
check before the commit finds it, and reports the loss without a count."""

_REMOVES_NOTHING = re.compile(
    r"""
    \s* (
        CREATE \s+ TABLE \b (?! .* \b AS \b (?! \s+ IDENTITY \b ) )
      | CREATE \s+ (UNIQUE \s+)? INDEX
      | CREATE \s+ POLICY
      | COMMENT | GRANT | REVOKE | SET | SHOW | SAVEPOINT | RELEASE | ROLLBACK
    ) \b
    [^;]* [;\s]*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""Single statements that neither remove nor add a row, whatever triggers and functions exist. Only
event triggers could. CREATE TABLE ... AS runs a query, so it is excluded."""

# initdb assigns smaller OIDs; all later objects have this or a larger one.
_FIRST_USER_OID = 16384

_FINGERPRINT = f"""
SELECT
    (SELECT bit_xor(hashtext(format('%s %s %s', oid, relnamespace, relname))) FROM pg_class
     WHERE oid >= {_FIRST_USER_OID} AND relkind IN ('r', 'p', 'm')) AS tables,
    count(*) FILTER (WHERE attisdropped) AS dropped,
    bit_xor(hashtext(format('%s %s %s %s %s', attrelid, attnum, atttypid, atttypmod, attname)))
        FILTER (WHERE NOT attisdropped) AS columns
FROM pg_attribute WHERE attrelid >= {_FIRST_USER_OID} AND attnum > 0
"""

# Names as literals, because the driver would look up the type of a parameter of type name[].
_RELATIONS = f"""
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= {_FIRST_USER_OID} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\\_%' AND c.relname NOT IN {bookkeeping.TABLES}
"""

# A table of size 0 has no rows; a partitioned table has the rows of its partitions.
_TABLES = f"""
SELECT c.oid, c.oid::regclass::text AS name,
       c.relkind = 'p' OR pg_relation_size(c.oid) > 0 AS takes_space,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
           AND NOT row_security_active(c.oid) AS readable
{_RELATIONS}
"""

_COLUMNS = f"""
SELECT c.oid AS relation, c.relfilenode AS filenode, attnum AS number,
       quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS type
FROM (SELECT c.oid, c.relfilenode {_RELATIONS}) c
JOIN pg_attribute ON attrelid = c.oid
WHERE attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True)
class Loss:
    """Data that a migration removed."""

    what: str
    """``table`` or ``table.column``."""
    rows: int | None
    """Number of rows or values; None if they could not be counted."""
    how: str

    def __str__(self) -> str:
        count = "an unknown number of rows" if self.rows is None else counted(self.rows, "row")
        return f"{self.what}: {self.how} ({count})"


@dataclass(frozen=True)
class _ColumnState:
    relation: int
    table: str
    filenode: int
    number: int
    name: str
    type: str


@dataclass(frozen=True)
class _Snapshot:
    """Names of the tables by OID, and their columns by OID and number."""

    tables: dict[int, str]
    columns: dict[tuple[int, int], _ColumnState]
    may_have_rows: frozenset[int]
    """Tables that may have rows: partitioned, or larger than 0 bytes."""
    unreadable: frozenset[int]
    """Tables whose rows the role cannot read; they count as having rows."""


_NO_TABLES = _Snapshot({}, {}, frozenset(), frozenset())


class Guard:
    """Guards one transaction against data loss."""

    def __init__(self, connection: "Connection[Record]", *, no_event_triggers: bool) -> None:
        """``no_event_triggers``: whether no event trigger is enabled in the database."""
        self._connection = connection
        self._no_event_triggers = no_event_triggers
        self._losses: list[Loss] = []
        self._start_is_known = False
        self._start = self._now = _NO_TABLES
        self._had_rows: set[int] = set()
        self._counted: set[int | tuple[int, int]] = set()
        """The removed tables and columns that were counted."""
        self._counts: dict[int, int | None] = {}
        """Numbers of rows of the tables that a statement emptied, by OID."""

    async def watch(self, statement: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run a statement of the migration; count what it removes."""
        if not self._start_is_known and not (
            self._no_event_triggers and _REMOVES_NOTHING.fullmatch(statement)
        ):
            await self._read_start()
        if statement.lstrip().upper().startswith(_WITHOUT_SAVEPOINT):
            return await run()
        before = await self._fingerprint()
        await self._connection.execute("SAVEPOINT partman_guard")
        result = await run()
        old = new = self._now
        if await self._fingerprint() != before:
            new = await self._snapshot()
        emptied = await self._emptied(new) - self._counts.keys()
        if emptied or _removed_something(old, new):
            await self._connection.execute("ROLLBACK TO SAVEPOINT partman_guard")
            for oid in emptied:
                self._counts[oid] = await self._count(old, oid)
            retyped = await self._values_to_compare(old, new)
            await self._count_removed(old, new)
            result = await run()
            await self._compare(retyped)
        self._now = new
        await self._connection.execute("RELEASE SAVEPOINT partman_guard")
        return result

    async def losses(self) -> list[Loss]:
        """Return all losses. Call this before the commit."""
        if not self._start_is_known:
            return []
        end = await self._snapshot()
        emptied = [
            Loss(end.tables[oid], self._counts.get(oid), "all rows were deleted")
            for oid in sorted(await self._emptied(end))
        ]
        return [*self._losses, *self._uncounted(end), *emptied]

    async def _read_start(self) -> None:
        """Read the initial state, before anything can be removed."""
        self._start_is_known = True
        self._start = self._now = await self._snapshot()
        visible = self._start.may_have_rows - self._start.unreadable
        with_rows = await self._with_rows(self._start, visible)
        self._had_rows = with_rows | self._start.unreadable

    async def _count_removed(self, old: _Snapshot, new: _Snapshot) -> None:
        """Count the rows and values that the statement is about to remove."""
        for oid in old.tables.keys() - new.tables.keys():
            self._counted.add(oid)
            if oid in self._had_rows:
                rows = await self._count(old, oid)
                self._losses.append(Loss(old.tables[oid], rows, "the table is gone"))
        for key in old.columns.keys() - new.columns.keys():
            self._counted.add(key)
            column = old.columns[key]
            if column.relation not in self._had_rows or column.relation not in new.tables:
                continue
            if (values := await self._count(old, column.relation, column.name)) != 0:
                what = f"{column.table}.{column.name}"
                self._losses.append(Loss(what, values, "the column is gone"))

    async def _values_to_compare(
        self, old: _Snapshot, new: _Snapshot
    ) -> list[tuple[_ColumnState, _ColumnState, "Record | None"]]:
        """Return checksums of the columns that are rewritten for a change of type."""
        changed = [
            (column, new.columns[key])
            for key, column in old.columns.items()
            if key in new.columns
            and new.columns[key].type != column.type
            and new.columns[key].filenode != column.filenode
            and column.relation in self._had_rows - old.unreadable
        ]
        return [
            (before, after, await self._checksum(before.table, before.name, before.type))
            for before, after in changed
        ]

    async def _compare(
        self, retyped: list[tuple[_ColumnState, _ColumnState, "Record | None"]]
    ) -> None:
        for before, after, values in retyped:
            # Cast back to the old type, an unaltered value has the same text.
            if await self._checksum(after.table, after.name, before.type) != values:
                how = f"the change from {before.type} to {after.type} altered values"
                what = f"{before.table}.{before.name}"
                self._losses.append(Loss(what, values["count"] if values else None, how))

    async def _checksum(self, table: str, column: str, as_type: str) -> "Record | None":
        try:
            await self._connection.execute("SAVEPOINT partman_sum")
            return await self._connection.fetchrow(
                f"SELECT count({column}),"
                f" sum(hashtextextended({column}::{as_type}::text, 0)::numeric) FROM {table}"
            )
        except asyncpg.PostgresError:  # no cast back to the old type: the values were altered
            await self._connection.execute("ROLLBACK TO SAVEPOINT partman_sum")
            return None
        finally:
            await self._connection.execute("RELEASE SAVEPOINT partman_sum")

    def _uncounted(self, end: _Snapshot) -> list[Loss]:
        """Find what a statement without a savepoint removed."""
        tables = [
            Loss(name, None, "the table is gone")
            for oid, name in self._start.tables.items()
            if oid not in end.tables and oid not in self._counted and oid in self._had_rows
        ]
        columns = [
            Loss(f"{column.table}.{column.name}", None, "the column is gone")
            for key, column in self._start.columns.items()
            if key not in end.columns
            and key not in self._counted
            and column.relation in end.tables
            and column.relation in self._had_rows
        ]
        return tables + columns

    async def _emptied(self, now: _Snapshot) -> set[int]:
        """Return the tables that had rows and are empty now."""
        # Only tables that are readable now and were readable at the start.
        known = (self._had_rows & now.tables.keys()) - self._start.unreadable - now.unreadable
        return known - await self._with_rows(now, known)

    async def _fingerprint(self) -> "Record":
        row = await self._connection.fetchrow(_FINGERPRINT)
        assert row is not None
        return row

    async def _snapshot(self) -> _Snapshot:
        tables = await self._connection.fetch(_TABLES)
        names = {row["oid"]: row["name"] for row in tables}
        columns = (
            _ColumnState(table=names[row["relation"]], **row)
            for row in await self._connection.fetch(_COLUMNS)
            if row["relation"] in names  # else another session has just created it
        )
        return _Snapshot(
            names,
            {(column.relation, column.number): column for column in columns},
            frozenset(row["oid"] for row in tables if row["takes_space"]),
            frozenset(row["oid"] for row in tables if not row["readable"]),
        )

    async def _with_rows(self, snapshot: _Snapshot, tables: Iterable[int]) -> set[int]:
        """Return the tables that have a row: one EXISTS per table, in one query."""
        queries = " UNION ALL ".join(
            f"SELECT {oid} WHERE EXISTS (SELECT FROM {snapshot.tables[oid]})" for oid in tables
        )
        found = await self._connection.fetch(queries) if queries else []
        return {row[0] for row in found}

    async def _count(self, snapshot: _Snapshot, oid: int, column: str = "*") -> int | None:
        if oid in snapshot.unreadable:
            return None
        counted: int = await self._connection.fetchval(
            f"SELECT count({column}) FROM {snapshot.tables[oid]}"
        )
        return counted


def refuse_losses(losses: list[Loss], migration: str, settings: Settings) -> None:
    """Raise DataLossError if data was lost; only log a warning where that is allowed."""
    if not losses:
        return
    listed = "; ".join(str(loss) for loss in losses)
    if settings.policy.data_loss or migration in settings.data_loss_in:
        logger.warning("%s loses data: %s.", migration, listed)
        return
    raise DataLossError(
        f"{migration} would lose data: {listed}. It was rolled back; the database is as it was "
        f"before it. To allow the loss, set: PARTMAN_ALLOW_DATA_LOSS={migration}"
    )


def _removed_something(old: _Snapshot, new: _Snapshot) -> bool:
    return (
        not old.tables.keys() <= new.tables.keys()
        or not old.columns.keys() <= new.columns.keys()
        or any(new.columns[key].type != column.type for key, column in old.columns.items())
    )
