"""Read a database's tables, indexes and other relations, and a session's locks on them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from partman.catalog.expansions import MARK
from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# initdb assigns smaller OIDs; all later objects have this or a larger one.
_FIRST_USER_OID = 16384

_RELATIONS = f"""
SELECT c.oid, c.oid::regclass::text AS name, format('%I.%I', nspname, c.relname) AS qualified,
       c.relname AS bare, c.relkind IN ('r', 'p', 'm') AS is_table,
       c.relfilenode AS filenode, i.indrelid AS table, coalesce(i.indisvalid, true) AS valid
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.oid >= {_FIRST_USER_OID} AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'i', 'I')
    AND c.relpersistence <> 't' AND nspname NOT LIKE 'pg\\_%'
    AND coalesce(t.relname, c.relname) NOT IN {bookkeeping.ALL_TABLES}
"""

# A trigger keeps the column in step with another one, until the contract of a change drops it.
_IN_STEP = f"""
EXISTS (
    SELECT FROM pg_trigger t
    JOIN pg_description d ON d.objoid = tgfoid AND d.classoid = 'pg_proc'::regclass
    WHERE tgrelid = attrelid AND tgenabled IN ('O', 'A')
        AND CASE WHEN starts_with(description, '{MARK}')
            THEN substr(description, {len(MARK) + 1})::json ->> 'old' = quote_ident(attname) END
)
"""

_COLUMNS = f"""
SELECT attrelid AS relation, attnum AS number, quote_ident(attname) AS name,
       format_type(atttypid, atttypmod) AS type, atttypid AS type_oid,
       ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = atttypid ORDER BY enumsortorder)
           AS labels,
       {_IN_STEP} AS in_step
FROM pg_attribute WHERE attrelid = any($1::oid[]) AND attnum > 0 AND NOT attisdropped
    AND attgenerated = ''
"""

_CONSTRAINTS = """
SELECT oid, conrelid AS table, conname AS name
FROM pg_constraint WHERE conrelid = any($1::oid[]) AND convalidated AND contype <> 't'
"""

_LOCKS = f"""
SELECT relation AS oid, upper(regexp_replace(
           replace(mode, 'Lock', ''), '([a-z])([A-Z])', '\\1 \\2', 'g')) AS mode,
       virtualtransaction AS transaction
FROM pg_locks
WHERE pid = $1 AND (locktype = 'virtualxid' AND granted
    OR locktype = 'relation' AND relation >= {_FIRST_USER_OID}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@dataclass(frozen=True)
class Relation:
    """A table, an index, or something beside them: a view, a foreign table, a sequence."""

    oid: int
    name: str
    """As SQL writes it: with its schema if the search_path requires it."""
    qualified: str
    bare: str
    """Without its schema and without quotes."""
    is_table: bool
    filenode: int
    table: int | None
    """OID of the table of an index; None for anything else."""
    valid: bool


@dataclass(frozen=True)
class StateColumn:
    """A column of a table, other than a generated one."""

    relation: int
    number: int
    name: str
    type: str
    type_oid: int
    labels: tuple[str, ...]
    """The labels of its type, in their order, if that is an enum."""
    in_step: bool
    """Whether a trigger keeps it in step with another column, which has its values."""


@dataclass(frozen=True)
class Constraint:
    """A validated constraint."""

    oid: int
    table: int
    name: str


@dataclass(frozen=True)
class DatabaseState:
    """Relations by OID, columns by table and number, constraints by OID."""

    relations: dict[int, Relation]
    columns: dict[tuple[int, int], StateColumn]
    constraints: dict[int, Constraint]

    @cached_property
    def tables(self) -> dict[int, Relation]:
        """The relations that have rows of their own, by OID."""
        return {oid: table for oid, table in self.relations.items() if table.is_table}

    def tables_named(self, bare: str) -> list[Relation]:
        """Return the tables with this name, in any schema."""
        return [table for table in self.tables.values() if table.bare == bare]


HeldLock = tuple[int, str]
"""The OID of the locked relation, and the lock mode."""


async def read_state(connection: "Connection[Record]") -> DatabaseState:
    """Read the state as the session sees it, including changes of its open transaction."""
    relations = {row["oid"]: Relation(**row) for row in await connection.fetch(_RELATIONS)}
    oids = [oid for oid, each in relations.items() if each.is_table or each.table is not None]
    columns = [
        StateColumn(**{**row, "labels": tuple(row["labels"])})
        for row in await connection.fetch(_COLUMNS, oids)
    ]
    constraints = [Constraint(**row) for row in await connection.fetch(_CONSTRAINTS, oids)]
    return DatabaseState(
        relations,
        {(column.relation, column.number): column for column in columns},
        {constraint.oid: constraint for constraint in constraints},
    )


async def read_locks(
    connection: "Connection[Record]", pid: int
) -> tuple[set[HeldLock], str | None]:
    """Return the locks that a session holds or waits for, and its virtual transaction ID."""
    rows = await connection.fetch(_LOCKS, pid)
    transaction = rows[0]["transaction"] if rows else None
    return {(row["oid"], row["mode"]) for row in rows if row["oid"]}, transaction
