"""The tables of a tenant's rows, in an order in which the rows can be inserted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from partman.apps import table_classes
from partman.bulk.target import Target, read_target
from partman.errors import TenantNotPortableError
from partman.grammar.names import literal, quoted
from partman.isolation import Tenancy, TenantTable
from partman.operator.tenants_table import TenantsTable
from partman.tenant.tenant_id import TenantId

if TYPE_CHECKING:
    from asyncpg import Connection, Record

FIXED_FORMATS = (
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; "
    "SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1"
)
"""Settings on which the text forms of values depend."""

# The keys that are checked at once. A partition's key is its parent's.
_REFERENCES = """
SELECT con.conrelid::regclass::text AS source, con.confrelid::regclass::text AS target,
    con.conname AS name,
    string_agg(format('t.%I = p.%I', a.attname, b.attname), ' AND ') AS joined,
    string_agg(format('t.%I IS NULL', a.attname), ' OR ') AS refers_to_none
FROM pg_constraint con
CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS pair (own, other)
JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = own
JOIN pg_attribute b ON b.attrelid = con.confrelid AND b.attnum = other
WHERE con.contype = 'f' AND NOT con.condeferrable AND con.conparentid = 0
    AND con.conrelid::regclass::text = ANY (string_to_array($1, E'\\n'))
    AND con.confrelid::regclass::text = ANY (string_to_array($1, E'\\n'))
GROUP BY con.oid
ORDER BY source, name
"""
_NAME = "SELECT to_regclass($1)::text"
_NUMBERED = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
    AND (attidentity <> '' OR pg_get_serial_sequence($1, attname) IS NOT NULL)
"""


@dataclass(frozen=True)
class SelfReference:
    """A key by which rows of a table refer to others of it."""

    joined: str
    """The condition that row ``t`` refers to row ``p``."""
    refers_to_none: str
    """The condition that row ``t`` refers to no row."""


@dataclass(frozen=True)
class TenantRows:
    """A table with rows of a tenant."""

    name: str
    target: Target
    tenant_column: str
    """Quoted."""
    numbered: tuple[str, ...]
    """The columns that a sequence of the database numbers."""
    parent: SelfReference | None

    def of_tenant(self, tenant_id: TenantId) -> str:
        """Return the condition of the tenant's rows ``t``; of the tenants' table, all are seen."""
        return f"t.{self.tenant_column} = {literal(str(tenant_id))}"

    def ordered_sql(self, columns: Sequence[str], condition: str) -> str:
        """Return the query of the rows as texts, those first that others of the table refer to."""
        listed = ", ".join(f"t.{quoted(name)}::text" for name in columns)
        table = f"{self.target.table} t"
        if self.parent is None:
            return f"SELECT {listed} FROM {table} WHERE {condition}"
        return (
            "WITH RECURSIVE ranked AS ("
            f"SELECT t.*, 0 AS partman_depth FROM {table}"
            f" WHERE {condition} AND ({self.parent.refers_to_none})"
            " UNION ALL "
            f"SELECT t.*, p.partman_depth + 1 FROM {table} JOIN ranked p ON {self.parent.joined}"
            f" WHERE {condition})"
            f" SELECT {listed} FROM ranked t ORDER BY partman_depth"
        )


async def tenant_rows(
    connection: "Connection[Record]", tenants: TenantsTable, tenancy: Tenancy
) -> list[TenantRows]:
    """Return the tables, the tenants' first and each after those that it refers to.

    Raises TenantNotPortableError for tables that refer to each other in a circle.
    """
    of_tenants = [
        table
        for table in table_classes()
        if issubclass(table, TenantTable) and table.declared_tenancy() == tenancy
    ]
    classes = [(tenants.table, "id"), *((table, tenancy.column) for table in of_tenants)]
    found: dict[str, tuple[Target, str]] = {}
    for table, column in classes:
        target = await read_target(connection, table)
        found[await connection.fetchval(_NAME, target.table)] = (target, quoted(column))
    references = await connection.fetch(_REFERENCES, "\n".join(found))
    first = next(iter(found))
    order = _ordered(found, {(row["source"], row["target"]) for row in references}, first)
    parents = _parents(references)
    return [
        TenantRows(
            name,
            found[name][0],
            found[name][1],
            tuple(row[0] for row in await connection.fetch(_NUMBERED, found[name][0].table)),
            parents.get(name),
        )
        for name in order
    ]


def _ordered(
    names: Collection[str], references: Collection[tuple[str, str]], first: str
) -> list[str]:
    graph = TopologicalSorter({name: {first} - {name} for name in names})
    for source, target in sorted(references):
        if source != target:
            graph.add(source, target)
    try:
        return list(graph.static_order())
    except CycleError as error:
        raise TenantNotPortableError(
            f"The tables {' -> '.join(error.args[1])} refer to each other in a circle, so their "
            "rows cannot be inserted one table after the other. Nothing was done. Make one of the "
            "keys DEFERRABLE."
        ) from None


def _parents(references: "list[Record]") -> Mapping[str, SelfReference]:
    parents: dict[str, SelfReference] = {}
    for row in references:
        if row["source"] != row["target"]:
            continue
        if row["source"] in parents:
            raise TenantNotPortableError(
                f"Rows of {row['source']} refer to others of it by several keys, so there may be "
                f"no order to insert them in. Nothing was done. Make {row['name']} DEFERRABLE."
            )
        parents[row["source"]] = SelfReference(row["joined"], row["refers_to_none"])
    return parents
