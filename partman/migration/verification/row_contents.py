"""Compare the rows of a database before and after a migration.

A column is identified as in PostgreSQL, by the table's OID and the column's number. So a renamed
column is the same column, and one that was dropped and added again is a new one.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLES = """
SELECT c.oid, c.oid::regclass::text AS name,
    array_agg(a.attnum::int ORDER BY a.attnum) AS numbers,
    array_agg(a.attname::text ORDER BY a.attnum) AS names,
    array_agg(quote_ident(a.attname) ORDER BY a.attnum) AS quoted,
    array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types,
    -- A row of a heap is in a page. Other access methods may keep it elsewhere.
    pg_relation_size(c.oid) = 0 AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
        AS is_empty
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.relname <> ALL ($1)
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
        AND objid = c.oid AND deptype = 'e')
GROUP BY c.oid, c.relam ORDER BY name
"""


@dataclass(frozen=True)
class RowColumn:
    """A column's name and type."""

    name: str
    type: str


@dataclass(frozen=True)
class TableRows:
    """The rows of one table."""

    name: str
    columns: Mapping[int, RowColumn]
    """By column number."""
    rows: tuple[Mapping[int, str | None], ...]
    """Values as PostgreSQL prints them, by column number."""

    def of(self, numbers: Collection[int]) -> "Counter[tuple[str | None, ...]]":
        """Return the rows, reduced to these columns, and how often each occurs."""
        return Counter(tuple(row[number] for number in numbers) for row in self.rows)


Contents = Mapping[int, TableRows]
"""All rows of a database, by the table's OID."""


@dataclass(frozen=True)
class Touched:
    """A table whose rows have changed."""

    table: str
    columns: tuple[str, ...]
    """The columns whose values differ; empty if whole rows were added or removed."""
    before: int
    """The number of rows before."""
    lost: int
    """The number of these rows that were removed or changed."""
    added: int
    """The number of rows that were added."""


async def read_contents(connection: "Connection[Record]") -> Contents:
    """Return all rows of all tables, from one snapshot. The database has to fit into memory."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # Rows hidden by a policy must raise an error; they would look like removed rows.
        await connection.execute("SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'")
        tables = await connection.fetch(_TABLES, bookkeeping.ALL_TABLES)
        return {table["oid"]: await _read_table(connection, table) for table in tables}


async def _read_table(connection: "Connection[Record]", table: "Record") -> TableRows:
    values = ", ".join(f"{column}::text" for column in table["quoted"])
    rows: list[Record] = []
    if not table["is_empty"]:
        rows = await connection.fetch(f"SELECT {values} FROM ONLY {table['name']}")
    return TableRows(
        table["name"],
        {
            number: RowColumn(name, kind)
            for number, name, kind in zip(
                table["numbers"], table["names"], table["types"], strict=True
            )
        },
        tuple(dict(zip(table["numbers"], row, strict=True)) for row in rows),
    )


def touched(
    before: Contents, after: Contents, *, exactly: bool, rewritten: Collection[str] = ()
) -> list[Touched]:
    """Return the tables that exist before and after, and whose rows have changed.

    The columns that both sides have with the same type are compared. With ``exactly``, added rows
    count as a change. ``rewritten`` names columns (``table.column``) and tables that may change.
    """
    found = []
    for oid, table in before.items():
        if oid in after:
            found += list(_touched(table, after[oid], exactly=exactly, rewritten=rewritten))
    return found


def _touched(
    before: TableRows, after: TableRows, *, exactly: bool, rewritten: Collection[str]
) -> Iterator[Touched]:
    if {before.name, after.name} & set(rewritten):
        return
    common = [
        number
        for number, column in before.columns.items()
        if (other := after.columns.get(number)) is not None
        and other.type == column.type
        and not {f"{before.name}.{column.name}", f"{after.name}.{other.name}"} & set(rewritten)
    ]
    lost = before.of(common) - after.of(common)
    added = after.of(common) - before.of(common)
    if not lost and not (added and exactly):
        return
    changed = len(before.rows) == len(after.rows)
    yield Touched(
        before.name,
        tuple(
            before.columns[number].name
            for number in common
            if changed and before.of([number]) != after.of([number])
        ),
        len(before.rows),
        lost.total(),
        # A changed row is both lost and added; count it once.
        max(0, added.total() - lost.total()),
    )
