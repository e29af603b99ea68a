"""What the guard knows of a database: its tables and their columns. Waits for no table's lock."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# initdb assigns smaller OIDs; all later objects have this or a larger one.
FIRST_USER_OID = 16384

# Names as literals, because the driver would look up the type of a parameter of type name[].
_RELATIONS = f"""
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= {FIRST_USER_OID} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\\_%' AND c.relname NOT IN {bookkeeping.ALL_TABLES}
"""

# The counters are of this session's statements, so far as they are not yet in pg_stat_all_tables:
# only the difference between two looks in one transaction means something.
_TABLES = f"""
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS sql,
       CASE n.nspname WHEN 'public' THEN quote_ident(c.relname)
           ELSE format('%I.%I', n.nspname, c.relname) END AS name,
       c.relfilenode AS filenode,
       pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
       pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,
       ARRAY(
           SELECT ARRAY[
               attnum::text, quote_ident(attname), pg_catalog.format_type(atttypid, atttypmod)
           ]
           FROM pg_catalog.pg_attribute
           WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
           ORDER BY attnum
       ) AS columns,
       current_setting('track_counts') = 'on' AS are_counted
{_RELATIONS}
ORDER BY c.oid
"""


@dataclass(frozen=True)
class Table:
    """A table that may hold rows, or a partitioned one."""

    oid: int
    sql: str
    """Its name with its schema."""
    name: str
    """Its name for a person, without the schema public."""
    filenode: int
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Column:
    """A column that is stored."""

    filenode: int
    """Its table's."""
    name: str
    type: str


@dataclass(frozen=True)
class Snapshot:
    """Tables by OID, and columns by table and number, in the order in which they were created."""

    tables: dict[int, Table]
    columns: dict[tuple[int, int], Column]
    are_rows_counted: bool
    """Whether PostgreSQL counts the rows that statements change (``track_counts``)."""


async def read_changeable(connection: "Connection[Record]") -> set[int]:
    """Return the OIDs of the tables whose rows the open transaction may have changed."""
    rows = await connection.fetch(
        "SELECT DISTINCT relation FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid()"
        " AND locktype = 'relation' AND mode NOT IN ('AccessShareLock', 'RowShareLock')"
    )
    return {row["relation"] for row in rows}


async def read_snapshot(connection: "Connection[Record]") -> Snapshot:
    """Read the catalog; in a transaction, with its own changes."""
    rows = await connection.fetch(_TABLES)
    return Snapshot(
        {table.oid: table for table in (Table(*row[:-2]) for row in rows)},
        {
            (row["oid"], int(number)): Column(row["filenode"], name, type_)
            for row in rows
            for number, name, type_ in row["columns"]
        },
        are_rows_counted=all(row["are_counted"] for row in rows),
    )
