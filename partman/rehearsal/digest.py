"""Compare all rows of a database before and after a migration, however many there are.

The server computes a checksum for each column, of its values together with the primary key of
their rows. So values that changed places between rows are seen, too. A column is identified as
PostgreSQL does it, by the table's OID and the column's number.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLES = f"""
SELECT c.oid, c.oid::regclass::text AS name,
    format('%I.%I', n.nspname, c.relname) AS sql,
    (SELECT string_agg(quote_ident(a.attname) || '::text', ', ' ORDER BY k.position)
     FROM pg_index i JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, position) ON true
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
     WHERE i.indrelid = c.oid AND i.indisprimary) AS key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.relname NOT IN {bookkeeping.ALL_TABLES}
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
        AND objid = c.oid AND deptype = 'e')
ORDER BY name
"""

_COLUMNS = """
SELECT attrelid AS table, attnum::int AS number, attname::text AS name,
    quote_ident(attname) AS sql, format_type(atttypid, atttypmod) AS type
FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_SESSION = """
SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = 0;
SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'
"""
"""Rows hidden by a policy must raise an error; they would look like removed rows."""


@dataclass(frozen=True)
class ColumnDigest:
    """A column, and a checksum of its values."""

    name: str
    type: str
    checksum: int


@dataclass(frozen=True)
class TableDigest:
    """The rows of one table."""

    name: str
    key: str | None
    """Its primary key, as SQL."""
    rows: int
    columns: Mapping[int, ColumnDigest]
    """By column number."""


Digest = Mapping[int, TableDigest]
"""All rows of a database, by the table's OID."""


async def read_digest(connection: "Connection[Record]") -> Digest:
    """Return a digest of all tables, from one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_SESSION)
        tables = await connection.fetch(_TABLES)
        columns: dict[int, list[Record]] = {}
        for column in await connection.fetch(_COLUMNS):
            columns.setdefault(column["table"], []).append(column)
        return {
            table["oid"]: await _read_table(connection, table, columns.get(table["oid"], []))
            for table in tables
        }


async def _read_table(
    connection: "Connection[Record]", table: "Record", columns: "list[Record]"
) -> TableDigest:
    # OFFSET 0: the key's hash is computed once for each row.
    seed = f"hashtextextended(ROW({table['key']})::text, 0)" if table["key"] else "0::bigint"
    sums = "".join(
        f", coalesce(sum(hashtextextended({column['sql']}::text, of_key)::numeric), 0)"
        for column in columns
    )
    row = await connection.fetchrow(
        f"SELECT count(*){sums} FROM (SELECT *, {seed} AS of_key FROM ONLY {table['sql']} OFFSET 0)"
        " AS of_rows"
    )
    assert row is not None
    return TableDigest(
        table["name"],
        table["key"],
        row[0],
        {
            column["number"]: ColumnDigest(column["name"], column["type"], int(checksum))
            for column, checksum in zip(columns, tuple(row)[1:], strict=True)
        },
    )


def differences(
    before: Digest,
    after: Digest,
    *,
    rewritten: Collection[str] = (),
    only_counted: Collection[str] = (),
) -> Iterator[str]:
    """Yield how the rows differ, in the tables and columns that both have with the same type.

    ``rewritten`` names columns (``table.column``) and tables that may change, and ``only_counted``
    tables whose values may be others, but not their number of rows.
    """
    for oid, table in before.items():
        other = after.get(oid)
        if other is None or {table.name, other.name} & set(rewritten):
            continue
        if table.rows != other.rows:
            yield f"{table.name} has {other.rows:,} rows instead of {table.rows:,}"
            continue
        # With another key, every checksum is another one.
        if table.key == other.key and other.name not in only_counted:
            yield from _changed(table, other, rewritten)


def _changed(before: TableDigest, after: TableDigest, rewritten: Collection[str]) -> Iterator[str]:
    for number, column in before.columns.items():
        other = after.columns.get(number)
        if other is None or other.type != column.type or other.checksum == column.checksum:
            continue
        if {f"{before.name}.{column.name}", f"{after.name}.{other.name}"}.isdisjoint(rewritten):
            yield f"the values of {before.name}.{column.name} are not those from before"
