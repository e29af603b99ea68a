"""Refuses to commit a migration that lost data.

It looks at what happened, not at the text of the statements, so it sees raw SQL, CASCADE and
what a function did as well. Lost means: a table that held rows is gone or empty, a column that
held values is gone, a change of type altered values.

A column's values cannot be looked at any more once it is gone. So each statement that could
take something away runs after a savepoint; when the catalog shows that it did, the guard goes
back to the savepoint, looks at what is about to go, and lets the statement run again. That
needs no look at any row as long as nothing is taken away.

What there is, it notes before the first statement that might take something away or add rows.
A migration that only makes tables and indexes costs nothing, however many tables there are.
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

_HARMLESS = (
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
"""Statements that are run without a savepoint. Only an economy: what they should take away
after all is found before the commit, and counts as lost without having been looked at."""

_TAKES_NOTHING = re.compile(
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
"""Single statements that neither take away a row nor add one, whatever triggers and functions
there are; only event triggers could. CREATE TABLE ... AS runs a query, and is not among them."""

# Whatever was not there when PostgreSQL was installed has an OID from here on.
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

# Names as literals: for a parameter of type name[] the driver asks the server what that is.
_RELATIONS = f"""
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= {_FIRST_USER_OID} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\\_%' AND c.relname NOT IN {bookkeeping.TABLES}
"""

# A table that takes no space has no rows; a partitioned one has those of its partitions.
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
    """Data that is not there any more."""

    what: str
    """A table, or a table and its column."""
    rows: int | None
    """How many rows or values; None when they could not be counted."""
    how: str

    def __str__(self) -> str:
        count = "an unknown number of rows" if self.rows is None else counted(self.rows, "row")
        return f"{self.what}: {self.how} ({count})"


@dataclass(frozen=True)
class _Column:
    relation: int
    table: str
    filenode: int
    number: int
    name: str
    type: str


@dataclass(frozen=True)
class _Snapshot:
    """What there is: tables by OID, their columns by OID and number."""

    tables: dict[int, str]
    columns: dict[tuple[int, int], _Column]
    taking_space: frozenset[int]
    """Tables that may hold rows; the others cannot."""
    unreadable: frozenset[int]
    """Tables whose rows the role may not see: taken to hold some."""


_NOTHING = _Snapshot({}, {}, frozenset(), frozenset())


class Guard:
    """Watches one transaction."""

    def __init__(self, connection: "Connection[Record]", *, trusting: bool) -> None:
        """``trusting``: whether statements do what they say, for want of event triggers."""
        self._connection = connection
        self._trusting = trusting
        self._losses: list[Loss] = []
        self._noted = False
        self._start = self._now = _NOTHING
        self._held_rows: set[int] = set()
        self._seen: set[int | tuple[int, int]] = set()
        """The tables and columns that went while we were looking."""
        self._counts: dict[int, int | None] = {}
        """How many rows there were in the tables that a statement emptied."""

    async def watch(self, statement: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run a statement of the migration, and look closely if it takes something away."""
        if not self._noted and not (self._trusting and _TAKES_NOTHING.fullmatch(statement)):
            await self._note()
        if statement.lstrip().upper().startswith(_HARMLESS):
            return await run()
        before = await self._fingerprint()
        await self._connection.execute("SAVEPOINT partman_guard")
        result = await run()
        old = new = self._now
        if await self._fingerprint() != before:
            new = await self._snapshot()
        emptied = await self._emptied(new) - self._counts.keys()
        if emptied or _took_something(old, new):
            await self._connection.execute("ROLLBACK TO SAVEPOINT partman_guard")
            for oid in emptied:
                self._counts[oid] = await self._count(old, oid)
            retyped = await self._values_to_compare(old, new)
            await self._look(old, new)
            result = await run()
            await self._compare(retyped)
        self._now = new
        await self._connection.execute("RELEASE SAVEPOINT partman_guard")
        return result

    async def losses(self) -> list[Loss]:
        """Return all that was lost. To be called before the commit."""
        if not self._noted:
            return []
        end = await self._snapshot()
        emptied = [
            Loss(end.tables[oid], self._counts.get(oid), "all rows were deleted")
            for oid in sorted(await self._emptied(end))
        ]
        return [*self._losses, *self._unseen(end), *emptied]

    async def _note(self) -> None:
        """Note what there is, before any of it could go."""
        self._noted = True
        self._start = self._now = await self._snapshot()
        visible = self._start.taking_space - self._start.unreadable
        found = await self._with_rows(self._start, visible)
        self._held_rows = found | self._start.unreadable

    async def _look(self, old: _Snapshot, new: _Snapshot) -> None:
        """Count what is in the tables and columns that the statement is about to take away."""
        for oid in old.tables.keys() - new.tables.keys():
            self._seen.add(oid)
            if oid in self._held_rows:
                rows = await self._count(old, oid)
                self._losses.append(Loss(old.tables[oid], rows, "the table is gone"))
        for key in old.columns.keys() - new.columns.keys():
            self._seen.add(key)
            column = old.columns[key]
            if column.relation not in self._held_rows or column.relation not in new.tables:
                continue
            if (values := await self._count(old, column.relation, column.name)) != 0:
                what = f"{column.table}.{column.name}"
                self._losses.append(Loss(what, values, "the column is gone"))

    async def _values_to_compare(
        self, old: _Snapshot, new: _Snapshot
    ) -> list[tuple[_Column, _Column, "Record | None"]]:
        """Sum up the columns that get another type and are rewritten for it."""
        changed = [
            (column, new.columns[key])
            for key, column in old.columns.items()
            if key in new.columns
            and new.columns[key].type != column.type
            and new.columns[key].filenode != column.filenode
            and column.relation in self._held_rows - old.unreadable
        ]
        return [
            (before, after, await self._sum(before.table, before.name, before.type))
            for before, after in changed
        ]

    async def _compare(self, retyped: list[tuple[_Column, _Column, "Record | None"]]) -> None:
        for before, after, values in retyped:
            # Back in the old type, a value that survived reads as it did.
            if await self._sum(after.table, after.name, before.type) != values:
                how = f"the change from {before.type} to {after.type} altered values"
                what = f"{before.table}.{before.name}"
                self._losses.append(Loss(what, values["count"] if values else None, how))

    async def _sum(self, table: str, column: str, as_type: str) -> "Record | None":
        try:
            await self._connection.execute("SAVEPOINT partman_sum")
            return await self._connection.fetchrow(
                f"SELECT count({column}),"
                f" sum(hashtextextended({column}::{as_type}::text, 0)::numeric) FROM {table}"
            )
        except asyncpg.PostgresError:  # no way back to the old type: the values were altered
            await self._connection.execute("ROLLBACK TO SAVEPOINT partman_sum")
            return None
        finally:
            await self._connection.execute("RELEASE SAVEPOINT partman_sum")

    def _unseen(self, end: _Snapshot) -> list[Loss]:
        """Find what went in a statement that nobody suspected of it."""
        tables = [
            Loss(name, None, "the table is gone")
            for oid, name in self._start.tables.items()
            if oid not in end.tables and oid not in self._seen and oid in self._held_rows
        ]
        columns = [
            Loss(f"{column.table}.{column.name}", None, "the column is gone")
            for key, column in self._start.columns.items()
            if key not in end.columns
            and key not in self._seen
            and column.relation in end.tables
            and column.relation in self._held_rows
        ]
        return tables + columns

    async def _emptied(self, now: _Snapshot) -> set[int]:
        """Return the tables that held rows and hold none now."""
        # Not those that could not be seen before, nor those that cannot be seen any more.
        known = (self._held_rows & now.tables.keys()) - self._start.unreadable - now.unreadable
        return known - await self._with_rows(now, known)

    async def _fingerprint(self) -> "Record":
        row = await self._connection.fetchrow(_FINGERPRINT)
        assert row is not None
        return row

    async def _snapshot(self) -> _Snapshot:
        tables = await self._connection.fetch(_TABLES)
        names = {row["oid"]: row["name"] for row in tables}
        columns = (
            _Column(table=names[row["relation"]], **row)
            for row in await self._connection.fetch(_COLUMNS)
            if row["relation"] in names  # else somebody has just created it
        )
        return _Snapshot(
            names,
            {(column.relation, column.number): column for column in columns},
            frozenset(row["oid"] for row in tables if row["takes_space"]),
            frozenset(row["oid"] for row in tables if not row["readable"]),
        )

    async def _with_rows(self, snapshot: _Snapshot, tables: Iterable[int]) -> set[int]:
        """Return which of the tables hold a row: one EXISTS each, all in one query."""
        looks = " UNION ALL ".join(
            f"SELECT {oid} WHERE EXISTS (SELECT FROM {snapshot.tables[oid]})" for oid in tables
        )
        found = await self._connection.fetch(looks) if looks else []
        return {row[0] for row in found}

    async def _count(self, snapshot: _Snapshot, oid: int, column: str = "*") -> int | None:
        if oid in snapshot.unreadable:
            return None
        counted: int = await self._connection.fetchval(
            f"SELECT count({column}) FROM {snapshot.tables[oid]}"
        )
        return counted


def refuse(losses: list[Loss], migration: str, settings: Settings) -> None:
    """Raise DataLossError unless nothing was lost, or it may be: then say so."""
    if not losses:
        return
    listed = "; ".join(str(loss) for loss in losses)
    if settings.policy.data_loss or migration in settings.data_loss_in:
        logger.warning("%s loses data: %s.", migration, listed)
        return
    raise DataLossError(
        f"{migration} would lose data: {listed}. It was rolled back, the database is as it was "
        f"before it. If that is what you want: PARTMAN_ALLOW_DATA_LOSS={migration}"
    )


def _took_something(old: _Snapshot, new: _Snapshot) -> bool:
    return (
        not old.tables.keys() <= new.tables.keys()
        or not old.columns.keys() <= new.columns.keys()
        or any(new.columns[key].type != column.type for key, column in old.columns.items())
    )
