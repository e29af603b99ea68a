"""Read the tables whose rows belong to tenants from the catalog, so that no list is outdated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from partman.grammar.names import unquoted
from partman.testing.values import KINDS, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONSOLE = ("console_accounts", "console_sessions")
"""Tables without rows of tenants: they may name an organization, and belong to the console."""

TENANTS = "organizations"
"""The table of the tenants, whose key is the tenant of the row."""


@dataclass(frozen=True)
class Column:
    """A column; names are quoted in this module."""

    name: str
    type: str
    not_null: bool
    required: bool
    """Whether an insert must set it."""
    writable: bool
    unique: bool
    """Whether it is part of a unique key."""
    checks: tuple[str, ...]
    """The conditions of the CHECK constraints on this column alone."""

    @property
    def shape(self) -> Shape:
        base, _, rest = self.type.partition("(")
        base += rest.partition(")")[2]
        return Shape(
            unquoted(self.name), self.type, base, base not in KINDS, conditions=self.checks
        )


@dataclass(frozen=True)
class Reference:
    """A foreign key to a tenant table."""

    columns: tuple[str, ...]
    table: str
    referenced: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table whose rows each belong to one tenant."""

    name: str
    """With its schema."""
    tenant: str
    """The column with the tenant."""
    key: tuple[str, ...]
    """The columns of the primary key."""
    columns: tuple[Column, ...]
    references: tuple[Reference, ...]

    @property
    def is_tenants(self) -> bool:
        """Whether its rows are the tenants themselves."""
        return self.key == (self.tenant,)

    @property
    def changeable(self) -> tuple[str, ...]:
        """The columns that the application must be able to change."""
        if self.is_tenants:
            return ("name", "settings", "updated_at")
        fixed = {*self.key, self.tenant}
        return tuple(c.name for c in self.columns if c.writable and c.name not in fixed)

    @property
    def harmless(self) -> str:
        """A column that can be set to the value of any row."""
        bound = {column for reference in self.references for column in reference.columns}
        bound |= {column.name for column in self.columns if column.unique}
        return next((name for name in self.changeable if name not in bound), self.changeable[0])

    @property
    def required_references(self) -> set[str]:
        """The columns of the required references to other rows."""
        required = {column.name for column in self.columns if column.not_null}
        return {name for reference in self.outgoing for name in reference.columns} & required

    def without_references(self, row: "Mapping[str, str]") -> dict[str, str]:
        """Return the row with only its required references."""
        referring = {name for reference in self.outgoing for name in reference.columns}
        return {
            name: value if name not in referring or name in self.required_references else "NULL"
            for name, value in row.items()
        }

    @property
    def outgoing(self) -> "Sequence[Reference]":
        """The references with more columns than the tenant's."""
        return [reference for reference in self.references if reference.columns != (self.tenant,)]


_TABLES = """
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, quote_ident(a.attname) AS tenant,
           ARRAY(
               SELECT quote_ident(k.attname) FROM pg_index i
               JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
               WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.attnum
           ) AS key
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
        AND a.attname = CASE c.relname WHEN $1 THEN 'id' ELSE 'organization_id' END
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND c.relname <> ALL ($2)
    ORDER BY c.oid
"""

_COLUMNS = """
    SELECT quote_ident(a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS not_null,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
           a.attgenerated = '' AND a.attidentity <> 'a' AS writable,
           EXISTS (
               SELECT FROM pg_index i
               WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey)
           ) AS "unique",
           ARRAY(
               SELECT pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint k
               WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
           ) AS checks
    FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""

_REFERENCES = """
    SELECT format('%I.%I', n.nspname, r.relname) AS referred,
           ARRAY(
               SELECT quote_ident(attname) FROM unnest(k.conkey) WITH ORDINALITY AS u (number, n)
               JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number ORDER BY n
           ) AS here,
           ARRAY(
               SELECT quote_ident(attname) FROM unnest(k.confkey) WITH ORDINALITY AS u (number, n)
               JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number ORDER BY n
           ) AS there
    FROM pg_constraint k
    JOIN pg_class r ON r.oid = k.confrelid
    JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE k.conrelid = $1 AND k.contype = 'f'
    ORDER BY k.conname
"""


_DEFINERS = """
    SELECT format('%I.%I(%s)', n.nspname, p.proname,
                  (SELECT string_agg(format('NULL::%s', type::regtype), ', ' ORDER BY number)
                   FROM unnest(p.proargtypes) WITH ORDINALITY AS u (type, number))) AS call
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY p.oid
"""


async def read_definers(connection: Connection) -> tuple[str, ...]:
    """Return a call of each function that has its owner's privileges."""
    return tuple(row["call"] for row in await connection.fetch(_DEFINERS))


async def read_console(connection: Connection) -> dict[str, list[str]]:
    """Return the console's tables and their columns."""
    rows = await connection.fetch(
        "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relname = ANY ($1)",
        CONSOLE,
    )
    return {
        f"public.{row['relname']}": [
            column["name"] for column in await connection.fetch(_COLUMNS, row["oid"])
        ]
        for row in rows
    }


async def read_tables(connection: Connection) -> tuple[Table, ...]:
    """Return every tenant table, each after the tables that it refers to."""
    found = {}
    for row in await connection.fetch(_TABLES, TENANTS, CONSOLE):
        columns = await connection.fetch(_COLUMNS, row["oid"])
        references = await connection.fetch(_REFERENCES, row["oid"])
        found[row["name"]] = Table(
            row["name"],
            row["tenant"],
            tuple(row["key"]),
            tuple(
                Column(
                    c["name"],
                    c["type"],
                    c["not_null"],
                    c["required"],
                    c["writable"],
                    c["unique"],
                    tuple(c["checks"]),
                )
                for c in columns
            ),
            tuple(
                Reference(tuple(r["here"]), r["referred"], tuple(r["there"])) for r in references
            ),
        )
    ordered: dict[str, Table] = {}
    while waiting := [table for name, table in found.items() if name not in ordered]:
        ready = [table for table in waiting if _refers_to(table) & found.keys() <= ordered.keys()]
        assert ready, f"refer to each other: {[table.name for table in waiting]}"
        ordered |= {table.name: table for table in ready}
    assert all(table.key for table in ordered.values()), "a table has no primary key"
    return tuple(ordered.values())


def _refers_to(table: Table) -> set[str]:
    return {reference.table for reference in table.references} - {table.name}
