"""What a database can contain.

Plain values: equal catalogs are equal schemas. Every name is written as SQL writes it: qualified
by its schema, and quoted where that is needed. Definitions are PostgreSQL's own words.

What is not in here is no part of the schema: rows, statistics, tablespaces, storage parameters of
columns, settings of roles and databases, publications and subscriptions, and whatever belongs to
an extension or to PostgreSQL itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

OWNER = "<owner>"
"""The role that migrates, whatever its name is on this server."""

ITS_OWNER = "<its owner>"
"""As a grantee: the role that owns the object. So a change of owner is no change of its grants."""

PUBLIC = "PUBLIC"


class Reference(NamedTuple):
    """Names an object: no two of a kind have the same name in a database."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True, kw_only=True)
class Object:
    """Anything that can be there or not."""

    kind: str
    """What COMMENT ON and people call it."""
    name: str
    parent: Reference | None = None
    """What it cannot be without: the table of a column, the schema of a table."""
    comment: str | None = None

    @property
    def reference(self) -> Reference:
        """What tells it from all others in the database."""
        return Reference(self.kind, self.name)


@dataclass(frozen=True, kw_only=True)
class Part(Object):
    """What has a name of its own only within its parent: a policy, a trigger, a constraint."""

    parent: Reference

    @property
    def reference(self) -> Reference:
        """Name it with its parent."""
        return Reference(self.kind, f"{self.name} on {self.parent.name}")


@dataclass(frozen=True, kw_only=True)
class Schema(Object):
    """A schema, as CREATE SCHEMA makes one."""

    owner: str


@dataclass(frozen=True, kw_only=True)
class Extension(Object):
    """An extension. What it brought along is not listed."""

    schema: str
    version: str = field(compare=False)
    """Not compared: it comes from the server's packages, not from a migration."""


@dataclass(frozen=True, kw_only=True)
class Enum(Object):
    """An enumerated type."""

    owner: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Domain(Object):
    """A domain; its checks are constraints whose parent it is."""

    owner: str
    type: str
    not_null: bool
    default: str | None
    collation: str | None


@dataclass(frozen=True, kw_only=True)
class Composite(Object):
    """A composite type."""

    owner: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Sequence(Object):
    """A sequence, also that of a serial or an identity column."""

    owner: str | None
    """None where it is the owner of the table whose column owns the sequence."""
    owned_by: str | None
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool


@dataclass(frozen=True, kw_only=True)
class Table(Object):
    """A table, also a partitioned one, or a foreign table."""

    owner: str
    unlogged: bool
    row_security: bool
    force_row_security: bool
    options: tuple[str, ...]
    replica_identity: str
    inherits: tuple[str, ...]
    """The tables it inherits from, or is a partition of."""
    partition_key: str | None
    partition_bound: str | None
    foreign: str | None
    """Server and options of a foreign table."""


@dataclass(frozen=True, kw_only=True)
class Column(Object):
    """A column of a table.

    The order of columns is not compared: it is where a column happened to be when it came, no
    migration can bring it back, and nothing that names its columns notices it.
    """

    parent: Reference
    position: int = field(compare=False)
    """To list columns in the order in which the table has them. There may be gaps."""
    type: str
    null: str
    """NULL, NOT NULL, or NOT NULL NOT VALID."""
    default: str | None
    identity: str | None
    """ALWAYS or BY DEFAULT."""
    generated: str | None
    """The expression, and whether it is STORED or VIRTUAL."""
    collation: str | None
    """None where it is that of the type."""

    @property
    def reference(self) -> Reference:
        """Name it as SQL does."""
        return Reference(self.kind, f"{self.parent.name}.{self.name}")


@dataclass(frozen=True, kw_only=True)
class Constraint(Part):
    """A primary key, a unique or foreign key, a check, an exclusion; of a table or a domain."""

    definition: str
    """Without NOT VALID."""
    valid: bool
    """Whether all rows are known to satisfy it."""
    enforced: bool
    """Whether the triggers that enforce a foreign key are enabled."""


@dataclass(frozen=True, kw_only=True)
class Index(Object):
    """An index that is not that of a constraint."""

    parent: Reference
    definition: str
    valid: bool
    """False for what a failed CREATE INDEX CONCURRENTLY leaves behind."""


@dataclass(frozen=True, kw_only=True)
class Policy(Part):
    """A policy of row level security."""

    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True, kw_only=True)
class Trigger(Part):
    """A trigger of a table or a view."""

    definition: str
    enabled: str
    """When it fires: origin (the usual), replica, always, disabled."""


@dataclass(frozen=True, kw_only=True)
class Function(Object):
    """A function, a procedure or an aggregate; named with the types of its arguments."""

    owner: str
    definition: str


@dataclass(frozen=True, kw_only=True)
class View(Object):
    """A view or a materialized view."""

    owner: str
    definition: str
    options: tuple[str, ...]
    """security_invoker and the like."""
    comments: tuple[str, ...]
    """Those on its columns."""


@dataclass(frozen=True, kw_only=True)
class Other(Object):
    """What is known by its name, and by its definition where PostgreSQL prints one."""

    definition: str | None


@dataclass(frozen=True, order=True)
class Privilege:
    """What a grantee may do with an object, or with one column of it."""

    name: str
    column: str = ""
    """Nothing where it is the whole object."""
    grantable: bool = False


@dataclass(frozen=True, kw_only=True)
class Grant(Object):
    """All that one grantee may do with an object; also by default, where nothing was granted."""

    parent: Reference
    privileges: tuple[Privilege, ...]

    @property
    def reference(self) -> Reference:
        """Name the grantee and the object."""
        return Reference(self.kind, f"{self.name} on {self.parent}")


@dataclass(frozen=True, kw_only=True)
class DefaultGrant(Object):
    """What one grantee will be able to do with objects that one role makes from now on.

    Only where that is not what PostgreSQL does by itself. No privileges: those that PostgreSQL
    would give are taken away.
    """

    creator: str
    of: str
    """TABLES, SEQUENCES, FUNCTIONS, TYPES, SCHEMAS, LARGE OBJECTS."""
    schema: str | None
    """None for all of them."""
    privileges: tuple[Privilege, ...]

    @property
    def reference(self) -> Reference:
        """Name the grantee and what he will get."""
        where = f" in schema {self.schema}" if self.schema else ""
        return Reference(self.kind, f"{self.name} on {self.of} by {self.creator}{where}")


CLASSES = (
    Schema,
    Extension,
    Enum,
    Domain,
    Composite,
    Table,
    Column,
    Sequence,
    Constraint,
    Index,
    Policy,
    Function,
    Trigger,
    View,
    Other,
    Grant,
    DefaultGrant,
)
"""In the order in which a reader expects them."""


def order(one: Object) -> tuple[int, Reference]:
    """Return what objects are sorted by."""
    return CLASSES.index(type(one)), one.reference


T = TypeVar("T", bound=Object)


@dataclass(frozen=True)
class Catalog:
    """All that one database contains."""

    objects: tuple[Object, ...]
    """In order()."""

    @cached_property
    def by_reference(self) -> Mapping[Reference | None, Object]:
        """Every object by what tells it from the others."""
        return {found.reference: found for found in self.objects}

    def of(self, sort: type[T]) -> tuple[T, ...]:
        """Return the objects of a class: ``catalog.of(Table)``."""
        return tuple(found for found in self.objects if isinstance(found, sort))
