"""The tables and indexes of a database at one moment, and the locks of a session on them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# Whatever was not there when PostgreSQL was installed has an OID from here on.
_FIRST_USER_OID = 16384

_RELATIONS = f"""
SELECT c.oid, c.oid::regclass::text AS name, format('%I.%I', nspname, c.relname) AS qualified,
       c.relname AS bare, c.relkind IN ('r', 'p', 'm') AS is_table, c.relfilenode AS filenode,
       i.indrelid AS table, coalesce(i.indisvalid, true) AS valid
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.oid >= {_FIRST_USER_OID} AND c.relkind IN ('r', 'p', 'm', 'i', 'I')
    AND c.relpersistence <> 't' AND nspname NOT LIKE 'pg\\_%'
    AND coalesce(t.relname, c.relname) NOT IN {bookkeeping.TABLES}
"""

_COLUMNS = """
SELECT attrelid AS relation, attnum AS number, quote_ident(attname) AS name,
       format_type(atttypid, atttypmod) AS type
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
    """A table or an index."""

    oid: int
    name: str
    """As SQL says it: with its schema where that is needed."""
    qualified: str
    bare: str
    """Without its schema, and not quoted."""
    is_table: bool
    filenode: int
    table: int | None
    """An index's."""
    valid: bool


@dataclass(frozen=True)
class StateColumn:
    """A column of a table that holds values."""

    relation: int
    number: int
    name: str
    type: str


@dataclass(frozen=True)
class Constraint:
    """A constraint that all rows are known to satisfy."""

    oid: int
    table: int
    name: str


@dataclass(frozen=True)
class DatabaseState:
    """What there is."""

    relations: dict[int, Relation]
    columns: dict[tuple[int, int], StateColumn]
    constraints: dict[int, Constraint]

    @cached_property
    def tables(self) -> dict[int, Relation]:
        """Without the indexes."""
        return {oid: one for oid, one in self.relations.items() if one.is_table}

    def tables_named(self, bare: str) -> list[Relation]:
        """Return the tables of that name, in any schema."""
        return [one for one in self.tables.values() if one.bare == bare]


Held = tuple[int, str]
"""The OID of what is locked, and the mode."""


async def look(connection: "Connection[Record]") -> DatabaseState:
    """Return what there is, as the session sees it, also in an open transaction."""
    relations = {row["oid"]: Relation(**row) for row in await connection.fetch(_RELATIONS)}
    oids = list(relations)
    columns = [StateColumn(**row) for row in await connection.fetch(_COLUMNS, oids)]
    constraints = [Constraint(**row) for row in await connection.fetch(_CONSTRAINTS, oids)]
    return DatabaseState(
        relations,
        {(one.relation, one.number): one for one in columns},
        {one.oid: one for one in constraints},
    )


async def locks(connection: "Connection[Record]", pid: int) -> tuple[set[Held], str | None]:
    """Return the locks that a session has or waits for, and the transaction they belong to."""
    rows = await connection.fetch(_LOCKS, pid)
    transaction = rows[0]["transaction"] if rows else None
    return {(row["oid"], row["mode"]) for row in rows if row["oid"]}, transaction
