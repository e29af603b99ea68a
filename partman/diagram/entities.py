"""What an entity-relationship diagram shows of a catalog."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from partman.catalog.model import Catalog, Column, Constraint, Policy, Reference, Table
from partman.isolation import Tenancy

DRAWN = (Table, Column, Constraint, Policy)
"""The classes of a catalog that entities() looks at."""

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
    """Whether a tenant sees its own rows and no others, as the audit found."""

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


def entities(
    catalog: Catalog, tenancy: Tenancy | None, isolated: Collection[str]
) -> tuple[Entity, ...]:
    """Return all tables, those that others refer to first.

    ``isolated`` are the names of the tables of which a tenant sees its own rows only, as the audit
    found; ``tenancy`` says by which column. Without a tenancy, there are none.
    """
    parts: dict[Reference | None, _Parts] = defaultdict(_Parts)
    for constraint in catalog.of(Constraint):
        parts[constraint.parent].constraints.append(constraint)
    for policy in catalog.of(Policy):
        parts[policy.parent].policies.append(policy)
    for column in catalog.of(Column):
        parts[column.parent].columns.append(column)
    found = [
        _entity(
            table,
            parts[table.reference],
            _tenant_column(table, tenancy) if tenancy and table.name in isolated else None,
        )
        for table in catalog.of(Table)
    ]
    return tuple(_referenced_first(found))


@dataclass(frozen=True)
class _Parts:
    """What a table has."""

    columns: list[Column] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)


def _entity(table: Table, parts: _Parts, tenant: str | None) -> Entity:
    constraints = parts.constraints
    keys = {one.name: one for one in constraints if one.is_key}
    columns = sorted(parts.columns, key=lambda one: one.position)
    nullable = {one.name for one in columns if one.null == "NULL"}
    primary = {name for key in keys.values() if key.type == "PRIMARY KEY" for name in key.columns}
    unique = [key.columns for key in keys.values()]
    relations = tuple(_relations(constraints, nullable, unique))
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
        policies=tuple(parts.policies),
        is_isolated=tenant is not None,
    )


def _tenant_column(table: Table, tenancy: Tenancy) -> str:
    return "id" if short(table.name) == tenancy.table else tenancy.column


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
        stack = [] if name in entered else [(name, iter(refers_to[name]))]
        while stack:
            one, ahead = stack[-1]
            entered.add(one)
            following = next((each for each in ahead if each not in entered), None)
            if following is not None:
                stack.append((following, iter(refers_to[following])))
                continue
            stack.pop()
            known = (found[each] + 1 for each in refers_to[one] if each in found)
            found[one] = max(known, default=0)
    return found
