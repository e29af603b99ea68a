"""The objects that a database can contain, as plain values: equal catalogs are equal schemas.

Names are written as in SQL: qualified by their schema, and quoted where necessary. Definitions are
the text that PostgreSQL prints.

Not modelled: rows, statistics, settings of roles in every database, and objects that belong to an
extension or to PostgreSQL itself. What else is not read, a Catalog lists as ``not_compared``.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from partman.catalog.attachment import Attachment as Attachment
from partman.catalog.constraints import Constraint as Constraint
from partman.catalog.constraints import Index as Index
from partman.catalog.constraints import IndexKey as IndexKey
from partman.catalog.database_objects import Publication as Publication
from partman.catalog.database_objects import PublishedSchema as PublishedSchema
from partman.catalog.database_objects import PublishedTable as PublishedTable
from partman.catalog.database_objects import Setting as Setting
from partman.catalog.identity import ITS_OWNER as ITS_OWNER
from partman.catalog.identity import OWNER as OWNER
from partman.catalog.identity import PUBLIC as PUBLIC
from partman.catalog.identity import Dependency as Dependency
from partman.catalog.identity import Object as Object
from partman.catalog.identity import Part as Part
from partman.catalog.identity import Reference as Reference
from partman.catalog.identity import grouped
from partman.catalog.types import Composite as Composite
from partman.catalog.types import Domain as Domain
from partman.catalog.types import Enum as Enum
from partman.catalog.types import Range as Range


@dataclass(frozen=True, kw_only=True)
class Schema(Object):
    """A schema (namespace)."""

    owner: str


@dataclass(frozen=True, kw_only=True)
class Extension(Object):
    """An extension. The objects that it contains are not listed."""

    schema: str
    version: str = field(compare=False)
    """Not compared, because it depends on the server's packages."""


@dataclass(frozen=True, kw_only=True)
class Sequence(Object):
    """A sequence, including those of serial and identity columns."""

    owner: str | None
    """None for the sequence of a column, which has its table's owner."""
    owned_by: str | None
    identity: bool = field(compare=False)
    """Whether it belongs to an identity column, which it is created and dropped with."""
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    unlogged: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(Object):
    """A table, a partitioned table or a foreign table."""

    owner: str
    unlogged: bool
    row_security: bool
    force_row_security: bool
    options: tuple[str, ...]
    """Also those of its TOAST table, as ``toast.autovacuum_enabled=false``."""
    replica_identity: str
    inherits: tuple[str, ...] = field(compare=False)
    """The tables that it is a partition of or inherits from: see Attachment."""
    partition_key: str | None
    partition_bound: str | None = field(compare=False)
    foreign: str | None
    """Server and options of a foreign table."""
    access_method: str | None = None
    """None: heap."""
    of_type: str | None = None
    """The composite type that it is a table of."""
    clustered_on: str | None = None
    """The index that CLUSTER uses."""


@dataclass(frozen=True, kw_only=True)
class Column(Object):
    """A column of a table.

    The order of columns is not compared: no migration can change it, and statements that name
    their columns do not depend on it.
    """

    parent: Reference
    position: int = field(compare=False)
    """The position in the table, which columns are listed by. There may be gaps."""
    type: str
    null: str
    """NULL, NOT NULL, or NOT NULL NOT VALID."""
    default: str | None
    identity: str | None
    """ALWAYS or BY DEFAULT."""
    generated: str | None
    """The expression, and whether it is STORED or VIRTUAL."""
    collation: str | None
    """None if it is the type's collation."""
    statistics: int | None = None
    """The statistics target."""
    storage: str | None = None
    """None if it is the type's."""
    type_storage: str = field(default="", compare=False)
    compression: str | None = None
    options: tuple[str, ...] = ()
    """Such as n_distinct."""
    null_name: str | None = None
    """The name of NOT NULL, which has one since PostgreSQL 18; None for the usual one."""
    null_written_name: str | None = field(default=None, compare=False)
    """As pg_dump writes it: also an inherited name, and a number after the usual one."""
    null_constraint: str | None = field(default=None, compare=False)
    """The name, be it usual or not."""
    null_is_inherited: bool = True
    """False for NOT NULL NO INHERIT."""
    null_declared: bool = False
    """Whether the table itself declares a NOT NULL that it inherits, too, since PostgreSQL 18."""
    null_comment: str | None = None
    """The comment on NOT NULL, since PostgreSQL 18."""
    inherited: bool = field(default=False, compare=False)
    declared: bool = False
    """Whether the table itself declares a column that it inherits, too."""

    @property
    def reference(self) -> Reference:
        """The identity, as ``table.column``."""
        return Reference(self.kind, f"{self.parent.name}.{self.name}")


@dataclass(frozen=True, kw_only=True)
class Policy(Part):
    """A row-level security policy."""

    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True, kw_only=True)
class Trigger(Part):
    """A trigger of a table or a view."""

    definition: str
    enabled: str = "origin"
    """When it fires: origin (the default), replica, always, disabled."""
    depends_on: tuple[str, ...] = ()
    """The extensions that it is dropped with."""


@dataclass(frozen=True, kw_only=True)
class TriggerState(Part):
    """That a trigger fires otherwise on a partition than on the partitioned table it is made on."""

    enabled: str
    usual: str = field(compare=False)
    """When it fires on the partitioned table."""


@dataclass(frozen=True, kw_only=True)
class Rule(Part):
    """A rule of a table or a view."""

    definition: str
    enabled: str = "origin"
    """When it is applied: origin (the default), replica, always, disabled."""


@dataclass(frozen=True, kw_only=True)
class Statistics(Object):
    """Extended statistics of a table."""

    owner: str
    definition: str
    target: int | None = None


@dataclass(frozen=True, kw_only=True)
class Function(Object):
    """A function, procedure or aggregate. Its name includes the argument types."""

    owner: str
    definition: str
    depends_on: tuple[str, ...] = ()
    """The extensions that it is dropped with."""


@dataclass(frozen=True, kw_only=True)
class View(Object):
    """A view or a materialized view."""

    owner: str
    definition: str
    options: tuple[str, ...]
    """View options such as security_invoker."""
    comments: tuple[str, ...]
    """Comments on its columns, as ``column: text``."""
    columns: tuple[str, ...] = ()
    """What is set for its columns, as in ALTER: ``ALTER name SET DEFAULT 'nobody'``."""
    access_method: str | None = None
    """None: heap."""
    clustered_on: str | None = None
    """The index of a materialized view that CLUSTER uses."""
    depends_on: tuple[str, ...] = ()
    """The extensions that it is dropped with."""
    populated: bool = field(default=True, compare=False)
    """Whether a materialized view can be read. Not compared: REFRESH makes it so."""


@dataclass(frozen=True, kw_only=True)
class Other(Object):
    """An object of another kind: compared with all that its catalog says of it, and not written."""

    definition: str | None


@dataclass(frozen=True, order=True)
class Privilege:
    """A privilege on an object, or on one column of it."""

    name: str
    column: str = ""
    """The column's name; empty for the whole object."""
    grantable: bool = False


@dataclass(frozen=True, kw_only=True)
class Grant(Object):
    """All privileges of one grantee on an object, including those that it has by default."""

    parent: Reference
    privileges: tuple[Privilege, ...]

    @property
    def reference(self) -> Reference:
        """The identity, as ``grantee on object``."""
        return Reference(self.kind, f"{self.name} on {self.parent}")


@dataclass(frozen=True, kw_only=True)
class DefaultGrant(Object):
    """Privileges that one grantee gets on objects that one role creates in future.

    Only listed if they differ from PostgreSQL's own defaults. Without privileges, those defaults
    are revoked.
    """

    creator: str
    of: str
    """TABLES, SEQUENCES, FUNCTIONS, TYPES, SCHEMAS, LARGE OBJECTS."""
    schema: str | None
    """None for all schemas."""
    privileges: tuple[Privilege, ...]

    @property
    def reference(self) -> Reference:
        """The identity, with the grantee, the creator and the kind of objects."""
        where = f" in schema {self.schema}" if self.schema else ""
        return Reference(self.kind, f"{self.name} on {self.of} by {self.creator}{where}")


CLASSES = (
    Schema,
    Extension,
    Enum,
    Domain,
    Composite,
    Range,
    Table,
    Attachment,
    Column,
    Sequence,
    Constraint,
    Index,
    Policy,
    Function,
    Trigger,
    TriggerState,
    View,
    Rule,
    Statistics,
    Publication,
    PublishedSchema,
    PublishedTable,
    Setting,
    Other,
    Grant,
    DefaultGrant,
)
"""All classes, in the order in which differences are listed."""


def sort_key(obj: Object) -> tuple[int, Reference]:
    """Return the key by which objects are sorted."""
    return CLASSES.index(type(obj)), obj.reference


T = TypeVar("T", bound=Object)


@dataclass(frozen=True)
class Catalog:
    """The schema of one database."""

    objects: tuple[Object, ...]
    """Sorted by sort_key()."""
    not_compared: tuple[Reference, ...] = field(default=(), compare=False)
    """What the database contains beside them, and is not read in full."""

    dependencies: tuple[Dependency, ...] = field(default=(), compare=False, repr=False)
    """What depends on what. Beside these, an object depends on its parent."""

    @cached_property
    def by_reference(self) -> Mapping[Reference | None, Object]:
        """The objects by their reference."""
        return {obj.reference: obj for obj in self.objects}

    def of(self, class_: type[T]) -> tuple[T, ...]:
        """Return the objects of a class: ``catalog.of(Table)``."""
        return tuple(obj for obj in self._by_class.get(class_, ()) if isinstance(obj, class_))

    @cached_property
    def _by_class(self) -> Mapping[type[Object], tuple[Object, ...]]:
        found: dict[type[Object], list[Object]] = defaultdict(list)
        for obj in self.objects:
            found[type(obj)].append(obj)
        return {class_: tuple(objects) for class_, objects in found.items()}

    @cached_property
    def by_parent(self) -> Mapping[Reference | None, tuple[Object, ...]]:
        """The objects by their parent."""
        found: dict[Reference | None, list[Object]] = defaultdict(list)
        for obj in self.objects:
            found[obj.parent].append(obj)
        return {parent: tuple(objects) for parent, objects in found.items()}

    @cached_property
    def with_children(self) -> frozenset[str]:
        """The names of tables with partitions, or that others inherit from."""
        return frozenset(obj.of for obj in self.of(Attachment))

    @cached_property
    def needs(self) -> Mapping[Reference, tuple[Dependency, ...]]:
        """The dependencies of each object that has any, without those on its parent."""
        return grouped((each.object, each) for each in self.dependencies)

    @cached_property
    def needed_by(self) -> Mapping[Reference, tuple[Dependency, ...]]:
        """The dependencies on each object that others depend on."""
        return grouped((each.on, each) for each in self.dependencies)
