"""What an entity-relationship diagram shows of a catalog."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from partman.catalog.model import Catalog, Column, Constraint, Policy, Table
from partman.isolation import Tenancy
from partman.isolation.row_security import printed_conditions

_SHORT_TYPES = (
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("time without time zone", "time"),
    ("character varying", "varchar"),
    ("character(", "char("),
    ("double precision", "float8"),
)


@dataclass(frozen=True)
class DiagramColumn:
    """A column, and what it is to the keys and policies of its table."""

    name: str
    type: str
    """In the short words that people use."""
    nullable: bool
    in_primary_key: bool
    in_foreign_key: bool
    in_unique_key: bool
    is_tenant: bool
    """Whether the policies say by it whose row it is."""

    @property
    def marks(self) -> tuple[str, ...]:
        """What it is to the keys, as diagrams say it."""
        found = {
            "PK": self.in_primary_key,
            "FK": self.in_foreign_key,
            "UK": self.in_unique_key,
        }
        return tuple(mark for mark, holds in found.items() if holds)


@dataclass(frozen=True)
class UniqueKey:
    """A unique key of several columns; a single column says it itself."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """A foreign key."""

    name: str
    columns: tuple[str, ...]
    table: str
    """What it refers to."""
    referenced: tuple[str, ...]
    on_delete: str | None
    """None where nothing happens."""
    optional: bool
    """Whether a row may refer to nothing."""
    is_one: bool
    """Whether at most one row refers to the same."""


@dataclass(frozen=True)
class Entity:
    """A table."""

    name: str
    columns: tuple[DiagramColumn, ...]
    keys: tuple[UniqueKey, ...]
    relations: tuple[Relation, ...]
    policies: tuple[Policy, ...]
    is_isolated: bool
    """Whether a tenant sees its own rows and no others: its restrictive policy, forced."""

    @property
    def tenant_column(self) -> str | None:
        """What says whose row it is; None where nothing does."""
        return next((one.name for one in self.columns if one.is_tenant), None)


def short(name: str) -> str:
    """Return a name as people say it: without the usual schema."""
    return name.removeprefix("public.")


def short_type(type_: str) -> str:
    """Return a type as people say it."""
    for long, said in _SHORT_TYPES:
        type_ = type_.replace(long, said)
    return re.sub(r"^(time\w*)(\(\d+\)) with time zone$", r"\1tz\2", type_)


def entities(catalog: Catalog, tenancy: Tenancy | None) -> tuple[Entity, ...]:
    """Return all tables, those that others refer to first.

    ``tenancy`` says by what a table is isolated; without one, none is.
    """
    found = [_entity(table, catalog, tenancy) for table in catalog.of(Table)]
    return tuple(_referenced_first(found))


def _entity(table: Table, catalog: Catalog, tenancy: Tenancy | None) -> Entity:
    here = table.reference
    constraints = [one for one in catalog.of(Constraint) if one.parent == here]
    policies = tuple(one for one in catalog.of(Policy) if one.parent == here)
    keys = {one.name: one for one in constraints if one.is_key}
    columns = sorted(
        (one for one in catalog.of(Column) if one.parent == here),
        key=lambda one: one.position,
    )
    nullable = {one.name for one in columns if one.null == "NULL"}
    primary = {name for key in keys.values() if key.type == "PRIMARY KEY" for name in key.columns}
    unique = [key.columns for key in keys.values()]
    relations = tuple(_relations(constraints, nullable, unique))
    tenant = _tenant_column(table, policies, tenancy) if tenancy else None
    return Entity(
        name=short(table.name),
        columns=tuple(
            DiagramColumn(
                name=one.name,
                type=short_type(one.type),
                nullable=one.name in nullable,
                in_primary_key=one.name in primary,
                in_foreign_key=any(one.name in of.columns for of in relations),
                in_unique_key=(one.name,) in unique and one.name not in primary,
                is_tenant=one.name == tenant,
            )
            for one in columns
        ),
        keys=tuple(
            UniqueKey(name, key.columns)
            for name, key in keys.items()
            if key.type == "UNIQUE" and len(key.columns) > 1
        ),
        relations=relations,
        policies=policies,
        is_isolated=tenant is not None and table.row_security and table.force_row_security,
    )


def _tenant_column(table: Table, policies: Iterable[Policy], tenancy: Tenancy) -> str | None:
    """Return the column by which a restrictive policy says whose row it is; None without one."""
    column = "id" if short(table.name) == tenancy.table else tenancy.column
    conditions = printed_conditions(tenancy, column)
    bound = {tenancy.roles.app, "PUBLIC"}
    for policy in policies:
        if (
            not policy.permissive
            and policy.command == "ALL"
            and bound & set(policy.roles)
            and policy.using in conditions
            # Without a WITH CHECK, PostgreSQL takes USING for it.
            and (policy.check is None or policy.check in conditions)
        ):
            return column
    return None


def _relations(
    constraints: Iterable[Constraint], nullable: set[str], unique: list[tuple[str, ...]]
) -> Iterator[Relation]:
    for one in constraints:
        if one.referenced_table is None:
            continue
        yield Relation(
            name=one.name,
            columns=one.columns,
            table=short(one.referenced_table),
            referenced=one.referenced_columns,
            on_delete=one.on_delete.lower() if one.on_delete else None,
            optional=any(name in nullable for name in one.columns),
            is_one=any(set(of) <= set(one.columns) for of in unique),
        )


def _referenced_first(found: list[Entity]) -> Iterator[Entity]:
    """Sort by how far a table is from those that refer to none, then by name."""
    rank = ranks(found)
    yield from sorted(found, key=lambda one: (rank[one.name], one.name))


def ranks(entities: Iterable[Entity]) -> dict[str, int]:
    """Return how many references in a row lead away from each table, at the most.

    In a circle of references, the one that closes it does not count.
    """
    listed = list(entities)
    names = {one.name for one in listed}
    refers_to = {
        one.name: sorted({of.table for of in one.relations} & names - {one.name}) for one in listed
    }
    found: dict[str, int] = {}
    entered: set[str] = set()
    for name in sorted(names):
        stack = [name]
        while stack:
            entered.add(stack[-1])
            before = next((each for each in refers_to[stack[-1]] if each not in entered), None)
            if before is not None:
                stack.append(before)
                continue
            one = stack.pop()
            if one not in found:
                ahead = (found[each] + 1 for each in refers_to[one] if each in found)
                found[one] = max(ahead, default=0)
    return found
