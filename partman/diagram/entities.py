"""What an entity-relationship diagram shows of a catalog."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from partman.catalog.model import Catalog, Column, Constraint, Policy, Table

_FOREIGN_KEY = re.compile(
    r"FOREIGN KEY \((?P<columns>.+?)\)"
    r" REFERENCES (?P<table>\S+?)\((?P<referenced>.+?)\)(?P<rest>.*)"
)
_KEY = re.compile(r"(?P<kind>PRIMARY KEY|UNIQUE)(?: NULLS NOT DISTINCT)? \((?P<columns>[^)]+)\)")
_ON_DELETE = re.compile(r"ON DELETE (CASCADE|SET NULL|SET DEFAULT|RESTRICT)")
# What a policy compares with the tenant that is set for the transaction.
_TENANT_COLUMN = re.compile(r"\(*(\w+) = \(?current_setting\(")

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
    """Whether a tenant sees its own rows and no others: a restrictive policy, forced."""

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


def entities(catalog: Catalog) -> tuple[Entity, ...]:
    """Return all tables, those that others refer to first."""
    found = [_entity(table, catalog) for table in catalog.of(Table)]
    return tuple(_referenced_first(found))


def _entity(table: Table, catalog: Catalog) -> Entity:
    here = table.reference
    constraints = [one for one in catalog.of(Constraint) if one.parent == here]
    policies = tuple(one for one in catalog.of(Policy) if one.parent == here)
    keys = {one.name: found for one in constraints if (found := _KEY.match(one.definition))}
    columns = sorted(
        (one for one in catalog.of(Column) if one.parent == here),
        key=lambda one: one.position,
    )
    nullable = {one.name for one in columns if one.null == "NULL"}
    primary = {name for key in keys.values() if key["kind"] != "UNIQUE" for name in _names(key)}
    unique = [_names(key) for key in keys.values()]
    relations = tuple(_relations(constraints, nullable, unique))
    isolating = [one for one in policies if not one.permissive]
    tenant = {match[1] for one in isolating if (match := _TENANT_COLUMN.match(one.using or ""))}
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
                is_tenant=one.name in tenant,
            )
            for one in columns
        ),
        keys=tuple(
            UniqueKey(name, _names(key))
            for name, key in keys.items()
            if key["kind"] == "UNIQUE" and len(_names(key)) > 1
        ),
        relations=relations,
        policies=policies,
        is_isolated=bool(isolating) and table.row_security and table.force_row_security,
    )


def _relations(
    constraints: Iterable[Constraint], nullable: set[str], unique: list[tuple[str, ...]]
) -> Iterator[Relation]:
    for one in constraints:
        if (key := _FOREIGN_KEY.match(one.definition)) is None:
            continue
        columns = tuple(key["columns"].split(", "))
        action = _ON_DELETE.search(key["rest"])
        yield Relation(
            name=one.name,
            columns=columns,
            table=short(key["table"]),
            referenced=tuple(key["referenced"].split(", ")),
            on_delete=action[1].lower() if action else None,
            optional=any(name in nullable for name in columns),
            is_one=any(set(of) <= set(columns) for of in unique),
        )


def _names(key: re.Match[str]) -> tuple[str, ...]:
    return tuple(key["columns"].split(", "))


def _referenced_first(found: list[Entity]) -> Iterator[Entity]:
    """Sort by how far a table is from those that refer to none, then by name."""
    yield from sorted(found, key=lambda one: (rank(one, found), one.name))


def rank(entity: Entity, among: Iterable[Entity], seen: tuple[str, ...] = ()) -> int:
    """Return how many references in a row lead away from a table, at the most."""
    by_name = {one.name: one for one in among}
    return max(
        (
            1 + rank(by_name[one.table], among, (*seen, entity.name))
            for one in entity.relations
            if one.table in by_name and one.table not in (*seen, entity.name)
        ),
        default=0,
    )
