"""Ask PostgreSQL, on a scratch database, what a change of a column's type means."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.model import Column
from partman.errors import NotExpressibleError
from partman.grammar.names import unquoted
from partman.migration.autogenerate.expand.column import Expanded

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# With another time zone than UTC: in UTC, a timestamp becomes a timestamptz without a rewrite.
_SESSION = "SET LOCAL timezone = 'America/New_York'"

# A cast by a function that is not immutable, or by the text of a type whose text is not, depends
# on the session. The labels of an enum do not.
_DEPENDS_ON_SESSION = """
WITH RECURSIVE base AS (
    SELECT t.oid AS type, t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
    WHERE t.oid IN (to_regtype($1)::oid, to_regtype($2)::oid)
    UNION ALL
    SELECT base.type, t.oid, t.typtype, t.typbasetype
    FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd'
),
pair AS (
    SELECT s.oid AS source, t.oid AS target
    FROM base s CROSS JOIN base t
    WHERE s.type = to_regtype($1)::oid AND s.typtype <> 'd'
        AND t.type = to_regtype($2)::oid AND t.typtype <> 'd'
)
SELECT CASE
    WHEN source = target OR c.castmethod = 'b' THEN false
    WHEN c.castmethod = 'f' THEN f.provolatile <> 'i'
    ELSE s.typtype <> 'e' AND o.provolatile <> 'i' OR t.typtype <> 'e' AND i.provolatile <> 'i'
    END
FROM pair
JOIN pg_catalog.pg_type s ON s.oid = source JOIN pg_catalog.pg_proc o ON o.oid = s.typoutput
JOIN pg_catalog.pg_type t ON t.oid = target JOIN pg_catalog.pg_proc i ON i.oid = t.typinput
LEFT JOIN pg_catalog.pg_cast c ON castsource = source AND casttarget = target
LEFT JOIN pg_catalog.pg_proc f ON f.oid = c.castfunc
"""

# The triggers that would run after ours, or that an UPDATE of the other name would not start.
_LATER_TRIGGERS = """
SELECT quote_ident(tgname) FROM pg_catalog.pg_trigger
WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND tgtype & 3 = 3 AND tgname > $2::text
ORDER BY tgname
"""
_TRIGGERS_OF_COLUMN = """
SELECT quote_ident(tgname) FROM pg_catalog.pg_trigger
JOIN pg_catalog.pg_attribute a ON attrelid = tgrelid AND attname = $2::text
WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND attnum = ANY (tgattr::smallint[])
ORDER BY tgname
"""
_HAS_PRIMARY_KEY = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = to_regclass($1) AND indisprimary)
"""


async def rewrites(connection: "Connection[Record]", before: Column, after: Column) -> bool:
    """Whether PostgreSQL would write the table anew. Raises NotExpressibleError without a cast."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_SESSION)
        await connection.execute(f"CREATE TABLE pg_temp.probe (x {before.type})")
        file = "SELECT pg_relation_filenode('pg_temp.probe')"
        former = await connection.fetchval(file)
        await connection.execute(
            f"ALTER TABLE pg_temp.probe ALTER x TYPE {after.type} USING x::{after.type}"
        )
        return bool(former != await connection.fetchval(file))
    except asyncpg.UndefinedObjectError:  # a type that does not exist yet
        return True
    except asyncpg.CannotCoerceError:
        return False  # PostgreSQL has no such change; whoever runs it in place is told
    finally:
        await transaction.rollback()


async def comparable(connection: "Connection[Record]", types: Iterable[str]) -> frozenset[str]:
    """Return the types whose values can be compared with what the trigger's search path has."""
    found = set()
    for each in set(types):
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("SET LOCAL search_path TO pg_catalog, pg_temp")
            await connection.execute(f"SELECT NULL::{each} IS DISTINCT FROM NULL::{each}")
            found.add(each)
        except asyncpg.UndefinedFunctionError:
            pass
        finally:
            await transaction.rollback()
    return frozenset(found)


async def is_volatile(connection: "Connection[Record]", column: Column) -> bool:
    """Whether the column's default may differ each time that it is computed."""
    if column.default is None:
        return False
    transaction = connection.transaction()
    await transaction.start()
    try:
        # What is the same for all rows, PostgreSQL stores once instead of writing the rows.
        await connection.execute(
            f"CREATE TABLE pg_temp.probe (); ALTER TABLE pg_temp.probe ADD COLUMN x {column.type}"
            f" DEFAULT {column.default}"
        )
        return not await connection.fetchval(
            "SELECT atthasmissing FROM pg_catalog.pg_attribute"
            " WHERE attrelid = 'pg_temp.probe'::regclass AND attname = 'x'"
        )
    finally:
        await transaction.rollback()


async def refuse_what_cannot_be_kept_in_step(
    connection: "Connection[Record]", column: Expanded
) -> None:
    """Raise NotExpressibleError for a column that a trigger could not keep in step."""
    before, after, table = column.before, column.after, column.table
    if not await connection.fetchval(_HAS_PRIMARY_KEY, table):
        raise refused(column, f"{table} has no primary key to divide it by")
    for source, target in ((before.type, after.type), (after.type, before.type)):
        if source == target:
            continue
        await _refuse_missing_cast(connection, column, source, target)
        if await connection.fetchval(_DEPENDS_ON_SESSION, source, target):
            raise refused(
                column, f"what {source} becomes as {target} depends on settings of the session"
            )
    await _refuse_triggers(connection, column)
    if column.is_renamed and column.has_volatile_default and after.null != "NOT NULL":
        raise refused(
            column, "it can be NULL and has a default that differs each time, so that a row "
            "without it cannot be told from one with NULL"
        )  # fmt: skip


async def _refuse_triggers(connection: "Connection[Record]", column: Expanded) -> None:
    before, after, table = column.before, column.after, column.table
    late = await connection.fetch(_LATER_TRIGGERS, table, unquoted(column.trigger))
    if late:
        raise refused(column, f"the trigger {late[0][0]} would run after the one that follows it")
    if column.is_renamed:
        of_column = await connection.fetch(_TRIGGERS_OF_COLUMN, table, unquoted(before.name))
        if of_column:
            reason = f"the trigger {of_column[0][0]} is for UPDATE OF {before.name}"
            raise refused(column, f"{reason}, which an update of {after.name} does not start")


async def _refuse_missing_cast(
    connection: "Connection[Record]", column: Expanded, source: str, target: str
) -> None:
    try:
        await connection.execute(f"SELECT NULL::{source}::{target}")
    except asyncpg.CannotCoerceError as error:
        raise refused(column, f"there is no cast from {source} to {target}") from error


def refused(column: Expanded, reason: str) -> NotExpressibleError:
    """Return the error for a column that cannot be changed while old and new code work."""
    name = f"{column.table}.{column.before.name}"
    what = f"to {column.after.name} " if column.is_renamed else ""
    return NotExpressibleError(
        f"{name} cannot be changed {what}with old and new code working meanwhile: {reason}. "
        "Nothing was written. To change it in place, while other sessions wait: "
        "partman new --in-place"
    )
