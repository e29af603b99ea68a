"""Read from the catalog what a table accepts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piccolo.table import Table

from partman.grammar.names import quoted
from partman.testing.values import Shape

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# Arrays are returned as JSON: for an array the driver would ask for its type first.
_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
    format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS base,
    t.typtype = 'e' AS is_enum,
    EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisunique AND NOT i.indisprimary
            AND a.attnum = ANY (i.indkey)
    ) AS is_unique
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
"""

_CHECKS = """
SELECT pg_get_expr(k.conbin, k.conrelid) AS condition,
    (SELECT string_agg(attname, E'\\n' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey)) AS columns
FROM pg_constraint k
WHERE k.conrelid = to_regclass($1) AND k.contype = 'c' AND k.conkey IS NOT NULL
ORDER BY k.conname
"""


@dataclass(frozen=True)
class Condition:
    """CHECK constraints on several columns; those that share a column are one condition."""

    sql: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TableShape:
    """What a table accepts. Names of columns are not quoted."""

    columns: dict[str, Shape]
    unique: frozenset[str]
    """The columns of unique keys other than the primary one."""
    conditions: tuple[Condition, ...]
    """The CHECK constraints on several columns, none of which is in two conditions."""


async def read_shape(connection: "Connection[Record]", table: type[Table]) -> TableShape | None:
    """Return what a table accepts; None if the database does not have it."""
    name = table_name(table)
    columns = await connection.fetch(_COLUMNS, name)
    if not columns:
        return None
    checks = [
        Condition(row["condition"], tuple(row["columns"].split("\n")))
        for row in await connection.fetch(_CHECKS, name)
    ]
    shapes = {
        row["name"]: Shape(
            row["name"],
            row["type"],
            row["base"],
            row["is_enum"],
            tuple(check.sql for check in checks if check.columns == (row["name"],)),
        )
        for row in columns
    }
    return TableShape(
        shapes,
        frozenset(row["name"] for row in columns if row["is_unique"]),
        _joined(check for check in checks if len(check.columns) > 1),
    )


def _joined(checks: Iterable[Condition]) -> tuple[Condition, ...]:
    """Join the checks that share a column."""
    found: list[Condition] = []
    for check in checks:
        joined = check
        for other in [each for each in found if set(each.columns) & set(joined.columns)]:
            found.remove(other)
            joined = Condition(
                f"({other.sql}) IS NOT FALSE AND ({joined.sql}) IS NOT FALSE",
                tuple(dict.fromkeys((*other.columns, *joined.columns))),
            )
        found.append(joined)
    return tuple(found)


def table_name(table: type[Table]) -> str:
    """Return the quoted name of a table, with its schema if the class has one."""
    meta = table._meta
    return ".".join(quoted(each) for each in (meta.schema, meta.tablename) if each)
