"""What every tenant table has: a row belongs to one tenant, and stays with it.

A project says once who its tenants are::

    class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Workspace):
        account: ForeignKey[Workspace]  # for type checkers; the column is added

and a table is isolated by being declared as one::

    class Task(TenantTable, Table, tablename="tasks"):
        title = Varchar(length=255)
        project = TenantReference(Project, null=False, db_column_name="project_id")
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from piccolo.columns import (
    UUID,
    BigInt,
    BigSerial,
    Column,
    ForeignKey,
    Integer,
    OnDelete,
    OnUpdate,
    Serial,
    SmallInt,
    Text,
    Varchar,
)
from piccolo.table import Table as PiccoloTable
from piccolo.utils.naming import _camel_to_snake

from partman.errors import TableDeclarationError, TenantColumnError
from partman.grammar.names import LONGEST_NAME, quoted
from partman.isolation.references import TenantForeignKey, TenantReference
from partman.isolation.roles import grant_usage
from partman.isolation.routing import RoutedQueries, tenant_of_block
from partman.isolation.row_security import (
    operator_policy,
    sequence_grant,
    tenant_grants,
    tenant_policies,
)
from partman.isolation.tenancy import Key, Tenancy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piccolo.query import Insert, Update
    from piccolo.table import Table
else:
    Table = object  # a mixin: a subclass of Table would get its own references to the tenants

_KEYS: dict[Key, tuple[type[Column], ...]] = {
    Key.UUID: (UUID,),
    Key.INTEGER: (Integer, Serial),
    Key.BIGINT: (BigInt, BigSerial),
    Key.TEXT: (Text, Varchar),
}
"""Piccolo's name for the type of a tenant's ID."""


class TenantTable(RoutedQueries, Table):
    """The base of a project's own base class, which precedes Piccolo's ``Table``.

    Raises TableDeclarationError for a class that does not fit the tenancy.
    """

    _tenancy: ClassVar[Tenancy | None] = None

    extras: ClassVar[tuple[str, ...]] = ()
    """SQL for what Piccolo cannot declare: policies, privileges, triggers, indexes."""

    global_keys: ClassVar[Mapping[str, str]] = {}
    """The names of unique keys that hold for all tenants on purpose, each with the reason.

    Any other key without the tenant bars one tenant from a value that another has, and tells it so:
    ``partman check`` reports it.
    """

    def __init_subclass__(
        cls,
        tablename: str | None = None,
        *,
        tenancy: Tenancy | None = None,
        tenants: type[PiccoloTable] | None = None,
        **options: Any,
    ) -> None:
        """Store the tenancy in a base class; add the keys and the isolation to a table class."""
        if tenancy is not None or tenants is not None:
            _declare(cls, tenancy, tenants)
        if not issubclass(cls, PiccoloTable):
            super().__init_subclass__(**options)
            return
        schema, _, named = (tablename or _camel_to_snake(cls.__name__)).rpartition(".")
        options["schema"] = options.get("schema") or schema or None
        # Keys before Piccolo collects the constraints; isolation after it knows all columns.
        _add_keys(cls, named, options["schema"])
        super().__init_subclass__(tablename=named, **options)
        if without := [name for name, reason in cls.global_keys.items() if not reason.strip()]:
            raise TableDeclarationError(
                f"{_named(cls)}: {', '.join(without)} in global_keys has no reason. Nothing was "
                "done. Say why all tenants may share the key."
            )
        cls.extras = (
            *_isolation(cls),
            *cls.shared_extras(),
            *vars(cls).get("extras", ()),
        )

    def __init__(
        self,
        _data: dict[Column, Any] | None = None,
        _ignore_missing: bool = False,
        _exists_in_db: bool = False,
        **values: Any,
    ) -> None:
        """Make a row as Piccolo does. Inside of ``tenant()``, a new row is that tenant's.

        A tenant that is given is kept: the database refuses a row of another one.
        """
        if not (_ignore_missing or _exists_in_db):
            values |= self._tenant_of_new_row(_data or {}, values)
        super().__init__(_data, _ignore_missing, _exists_in_db, **values)

    def _tenant_of_new_row(
        self, data: Mapping[Column, Any], values: Mapping[str, Any]
    ) -> dict[str, Any]:
        tenancy = self.declared_tenancy()
        column = self._meta.get_column_by_name(tenancy.attribute)
        # As Piccolo looks: a column compared with another one is a condition, which is true.
        if data.get(column, ...) is not ... or {tenancy.attribute, tenancy.column} & values.keys():
            return {}
        tenant_id = tenant_of_block(type(self))
        return {} if tenant_id is None else {tenancy.attribute: tenant_id}

    @classmethod
    def declared_tenancy(cls) -> Tenancy:
        """Return the tenancy with which the project's base class was declared."""
        if cls._tenancy is None:
            raise TableDeclarationError(
                f"{_named(cls)} is a TenantTable without a tenancy. Nothing was done. Derive it "
                "from a base class of the project: class TenantTable(isolation.TenantTable, "
                "tenancy=TENANCY, tenants=Workspace)."
            )
        return cls._tenancy

    @classmethod
    def shared_extras(cls) -> tuple[str, ...]:
        """Return more SQL for each table; a project's base class may override it."""
        return ()

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute. Raises TenantColumnError for another tenant of a row that exists."""
        if getattr(self, "_exists_in_db", False) and name == self.declared_tenancy().attribute:
            before, after = _key_of(vars(self).get(name)), _key_of(value)
            if before is not None and str(before) != str(after):
                raise TenantColumnError(
                    f"{type(self).__name__}.{name} is {before} and was set to {after}. Nothing was "
                    "changed: a row stays with its tenant, and its references would not fit "
                    "another one. Insert a new row in the other tenant, and delete this one."
                )
        super().__setattr__(name, value)

    def save(
        self, columns: "Sequence[Column | str] | None" = None
    ) -> "Insert[Table] | Update[Table]":
        """Insert or update; Piccolo's own method would also update the tenant, which never changes.

        Only the owner may update the tenant column.
        """
        if columns is None and self._exists_in_db:
            columns = [
                column
                for column in self._meta.columns
                if not column._meta.primary_key
                and column._meta.db_column_name != self.declared_tenancy().column
            ]
        return super().save(columns)


def check_registered(
    registered: Collection[type[PiccoloTable]], tenancy: Tenancy | None, packages: Collection[str]
) -> None:
    """Raise TableDeclarationError for a tenant table that is unregistered or of another tenancy.

    ``registered`` are the table classes of all apps, ``tenancy`` is the engine's. ``packages`` are
    the top-level packages of the project: classes of other projects, and classes inside a function,
    are ignored. Classes of modules that are not imported are unknown.
    """
    for table in _declared_tables():
        if table.__module__.partition(".")[0] not in packages:
            continue
        if table not in registered:
            raise TableDeclarationError(
                f"The TenantTable {_named(table)} is in no app's table_classes. Nothing was done. "
                "Add it to the AppConfig in the app's piccolo_app.py, or collect the classes with "
                f"Piccolo's table_finder(['{table.__module__}'])."
            )
        if tenancy is None:
            raise TableDeclarationError(
                f"{_named(table)} is a TenantTable, but the engine has no tenancy. Nothing was "
                "done. In piccolo_conf.py: DB = PartmanEngine(tenancy=TENANCY), with the tenancy "
                "of the table classes."
            )
        if table.declared_tenancy() != tenancy:
            raise TableDeclarationError(
                f"{_named(table)} is declared with another tenancy than the engine has. Nothing "
                f"was done. Use the same tenancy for both. The engine's is {tenancy}; the table's "
                f"is {table.declared_tenancy()}."
            )


def _declared_tables() -> list[type[TenantTable]]:
    # A rejected class stays a subclass until it is collected, without a _meta.
    found = (cls for cls in _subclasses(TenantTable) if "_meta" in vars(cls))
    return sorted((cls for cls in found if "<locals>" not in cls.__qualname__), key=_named)


def _subclasses(cls: type[TenantTable]) -> Iterator[type[TenantTable]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _declare(
    cls: type[TenantTable], tenancy: Tenancy | None, tenants: type[PiccoloTable] | None
) -> None:
    """Store the tenancy in a base class, and add the reference to the tenants."""
    if tenancy is None or tenants is None or issubclass(cls, PiccoloTable):
        raise TableDeclarationError(
            f"{_named(cls)} declares half a tenancy. Nothing was done. A base class that is "
            "not a Table needs both: tenancy=TENANCY and tenants=the class of the tenants."
        )
    _check_tenants(cls, tenancy, tenants)
    if hasattr(PiccoloTable, tenancy.attribute):
        raise TableDeclarationError(
            f"{_named(cls)}: the reference to the tenants would be called {tenancy.attribute}, "
            "which is a method of Piccolo's Table. Nothing was done. Choose another "
            "Tenancy.column."
        )
    cls._tenancy = tenancy
    reference: ForeignKey[Any] = ForeignKey(
        tenants,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name=tenancy.column,
    )
    setattr(cls, tenancy.attribute, reference)


def _check_tenants(cls: type[TenantTable], tenancy: Tenancy, tenants: type[PiccoloTable]) -> None:
    meta = tenants._meta
    key = meta.primary_key
    # Piccolo derives these from Integer and Serial; their column_type would ask for the engine.
    is_other = isinstance(key, BigInt | BigSerial | SmallInt) and tenancy.key is Key.INTEGER
    is_of_type = isinstance(key, _KEYS[tenancy.key]) and not is_other
    if (meta.tablename, key._meta.db_column_name) != (tenancy.table, "id") or not is_of_type:
        raise TableDeclarationError(
            f"{_named(cls)}: by the tenancy, the tenants are the rows of {tenancy.table}, with a "
            f"primary key id of type {tenancy.key}. But {_named(tenants)} is {meta.tablename}, "
            f"with a primary key {key._meta.db_column_name}, a {type(key).__name__}. Nothing was "
            "done. Correct the one that is wrong."
        )


def _add_keys(cls: type[TenantTable], table: str, schema: str | None) -> None:
    """Add the composite key of each reference to another tenant table, including mixins."""
    column = cls.declared_tenancy().column
    for name in _attributes(cls):
        value = getattr(cls, name, None)
        if isinstance(value, TenantForeignKey) and name not in vars(cls):
            setattr(cls, name, None)  # inherited from a parent table
        if isinstance(value, TenantReference):
            key = _composite_key(cls, name, value, _in_schema(schema, table))
            setattr(cls, _shortened(f"{table}_{column}_{key.column}_fkey"), key)


def _composite_key(
    cls: type[TenantTable], attribute: str, column: TenantReference, own_table: str
) -> TenantForeignKey:
    options = column._meta.params
    references = options["references"]
    if references == "self":
        referred, primary_key = own_table, _own_primary_key(cls)
    elif isinstance(references, type) and issubclass(references, TenantTable):
        meta = references._meta
        referred = _in_schema(meta.schema, meta.tablename)
        primary_key = meta.primary_key._meta.db_column_name
    else:
        raise TableDeclarationError(
            f"{_named(cls)}.{attribute} is a TenantReference to {references!r}, which is not the "
            "class of a tenant table. Nothing was done. Use the class itself, or 'self'; for a "
            "table without tenants use Piccolo's ForeignKey."
        )
    return TenantForeignKey(
        column=options.get("db_column_name") or attribute,
        references=referred,
        on_delete=options["on_delete"].value,
        tenant=cls.declared_tenancy().column,
        key=primary_key,
    )


def _in_schema(schema: str | None, table: str) -> str:
    return f"{schema}.{table}" if schema else table


def _own_primary_key(cls: type[TenantTable]) -> str:
    """Return the name of the key's column; Piccolo adds an id to a class without one."""
    for name in _attributes(cls):
        value = getattr(cls, name, None)
        if isinstance(value, Column) and value._meta.primary_key:
            own_name: str | None = value._meta.params.get("db_column_name")
            return own_name or name
    return "id"


def _attributes(cls: type) -> list[str]:
    """Return a class's attribute names in Piccolo's order, mixins first."""
    return list(dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)))


def _shortened(name: str) -> str:
    """Return a name that PostgreSQL does not truncate and that no other name is shortened to."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    told_apart = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}_{told_apart}"


def _isolation(table: "type[TenantTable]") -> Iterator[str]:
    tenancy, meta = table.declared_tenancy(), table._meta
    schema = quoted(meta.schema) if meta.schema else None
    name = f"{schema}.{quoted(meta.tablename)}" if schema else quoted(meta.tablename)
    may_change = [
        column._meta.db_column_name
        for column in meta.columns
        if not column._meta.primary_key and column._meta.db_column_name != tenancy.column
    ]
    if schema:
        yield grant_usage(tenancy, schema)
    yield from tenant_policies(tenancy, name, tenancy.column)
    yield from operator_policy(tenancy, name, tenancy.column)
    yield from tenant_grants(tenancy, name, may_change)
    for column in meta.columns:
        if isinstance(column, Serial):
            roles = tenancy.roles.those_of("app", "seed", "operator")
            yield sequence_grant(name, column._meta.db_column_name, roles)


def _key_of(value: object) -> object:
    """Return the ID of a row, which may stand for it."""
    if isinstance(value, PiccoloTable):
        return getattr(value, value._meta.primary_key._meta.name)
    return value


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
