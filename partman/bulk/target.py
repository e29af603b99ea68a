"""The table that rows are inserted into, as the database has it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piccolo.table import Table

from partman.database.array_types import ARRAY_TYPES
from partman.errors import NotIsolatedError
from partman.grammar.names import quoted

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

_KNOWN = ", ".join(f"'{name}'::regtype" for name in ARRAY_TYPES)

# format_type(…, -1): a cast to the type without a length; the assignment to the column checks the
# length, where a cast to varchar(3) would cut.
_COLUMNS = f"""
SELECT attname::text AS name, format_type(atttypid, -1) AS type, atttypid IN ({_KNOWN}) AS known,
       atttypid IN ('json'::regtype, 'jsonb'::regtype) AS is_json
FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True)
class TargetColumn:
    """A column, and how its values are sent."""

    name: str
    type: str
    known: bool
    """Whether the driver can send an array of the type; otherwise the values are sent as text."""
    is_json: bool
    secret: bool
    """Whether messages must not show the values."""

    @property
    def sent_as(self) -> str:
        """The type of an element of the array that is sent."""
        return self.type if self.known else "text"


@dataclass(frozen=True)
class Target:
    """A table and its columns that can be written."""

    table: str
    """Quoted, with the schema if the table class has one."""
    columns: dict[str, TargetColumn]

    def insert_sql(self, columns: Sequence[TargetColumn]) -> str:
        """Return the statement whose parameters are one array for each of the columns."""
        names = ", ".join(quoted(column.name) for column in columns)
        arrays = ", ".join(f"${n}::{c.sent_as}[]" for n, c in enumerate(columns, 1))
        given = ", ".join(f"c{n}" for n in range(len(columns)))
        values = ", ".join(
            f"c{n}" if column.known else f"c{n}::{column.type}" for n, column in enumerate(columns)
        )
        source = f"unnest({arrays}) AS _ ({given})"
        return f"INSERT INTO {self.table} ({names}) SELECT {values} FROM {source}"

    def insert_values_sql(self, columns: Sequence[TargetColumn], rows: int) -> str:
        """Return the statement whose parameters are the values of one row after the other.

        Citus sends it to the shard of its rows. The rows of a SELECT it would COPY to their shards,
        which is not allowed under row level security.
        """
        names = ", ".join(quoted(column.name) for column in columns)
        numbers = itertools.count(1)
        values = (
            ", ".join(
                f"${n}::{c.sent_as}" if c.known else f"${n}::{c.sent_as}::{c.type}"
                for c, n in zip(columns, numbers, strict=False)
            )
            for _ in range(rows)
        )
        rows_sql = ", ".join(f"({row})" for row in values)
        return f"INSERT INTO {self.table} ({names}) VALUES {rows_sql}"


async def read_target(
    connection: "Connection[Record] | PoolConnectionProxy[Record]", table: type[Table]
) -> Target:
    """Ask the database for the columns of a table. Raises NotIsolatedError if it has no table."""
    meta = table._meta
    name = quoted(meta.tablename)
    if meta.schema:
        name = f"{quoted(meta.schema)}.{name}"
    secret = {column._meta.db_column_name for column in meta.columns if column._meta.secret}
    rows: list[Any] = await connection.fetch(_COLUMNS, name)
    if not rows:
        raise NotIsolatedError(
            f"The database has no table {name}. Nothing was inserted. Migrate it: "
            "piccolo migrations forwards all"
        )
    columns = [TargetColumn(**row, secret=row["name"] in secret) for row in rows]
    return Target(name, {column.name: column for column in columns})
