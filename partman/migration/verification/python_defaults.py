"""Find the columns whose default is computed in Python, in migrations and in table classes.

See catalog/python_defaults.py.
"""

import builtins
import inspect
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.apps.migrations.auto.schema_snapshot import SchemaSnapshot
from piccolo.columns import Column
from piccolo.conf.apps import AppConfig

from partman.apps import app_configs, table_classes
from partman.catalog.model import Catalog, Reference
from partman.catalog.python_defaults import mark
from partman.migration.ledger.files import import_migrations
from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.managers import managers_of, modules_of

if TYPE_CHECKING:
    from asyncpg import Connection, Record

ColumnName = tuple[str | None, str, str]
"""Schema, or None if the class names none; table; column."""

_REFERENCES = """
SELECT format('%I.%I.%I', nspname, relname, wanted.column)
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (schema, "table", "column")
JOIN pg_class c ON c.oid = to_regclass(
    coalesce(quote_ident(wanted.schema) || '.', '') || quote_ident(wanted.table))
JOIN pg_namespace n ON n.oid = relnamespace
"""

_computing: "WeakKeyDictionary[ModuleType, bool]" = WeakKeyDictionary()
"""For each migration module read so far: whether it has a computed default."""


async def marked(
    connection: "Connection[Record]", catalog: Catalog, columns: Collection[ColumnName]
) -> Catalog:
    """Return the catalog of the connection's database with the columns' defaults marked."""
    if not columns:
        return catalog
    rows = await connection.fetch(_REFERENCES, *map(list, zip(*columns, strict=True)))
    return mark(catalog, {Reference("column", row[0]) for row in rows})


def of_classes() -> list[ColumnName]:
    """Return the columns with a computed default in the registered table classes."""
    return [
        (table._meta.schema, table._meta.tablename, column._meta.db_column_name)
        for table in table_classes()
        for column in table._meta.columns
        if _is_computed(column)
    ]


async def of_migrations(only: Collection[MigrationKey] | None = None) -> list[ColumnName]:
    """Return the columns with a computed default after all migrations, or after ``only`` those.

    Piccolo adds the migrations up, as it does for ``piccolo migrations new --auto``. Raises
    PreflightError for a file that cannot be imported.
    """
    import_migrations()
    return [name for app in app_configs() for name in await _of_app(app, only)]


async def _of_app(app: AppConfig, only: Collection[MigrationKey] | None) -> list[ColumnName]:
    modules = [
        module
        for migration, module in sorted(modules_of(app).items())
        if only is None or MigrationKey(app.app_name, migration) in only
    ]
    if not any([await _computes(module) for module in modules]):
        return []
    tables = SchemaSnapshot(await managers_of(modules)).get_snapshot()
    return [
        (table.schema, table.tablename, column._meta.db_column_name)
        for table in tables
        for column in table.columns
        if _is_computed(column)
    ]


async def _computes(module: ModuleType) -> bool:
    if module not in _computing:
        managers = await managers_of([module])
        _computing[module] = any(map(_is_function, _defaults(managers)))
    return _computing[module]


def _defaults(managers: Iterable[MigrationManager]) -> Iterator[Any]:
    for manager in managers:
        for added in manager.add_columns.add_columns:
            yield added.column._meta.params.get("default")
        for altered in manager.alter_columns.alter_columns:
            yield altered.params.get("default")


def _is_computed(column: Column) -> bool:
    return _is_function(column._meta.params.get("default"))


def _is_function(default: Any) -> bool:
    """Whether Piccolo calls the default. Builtins like ``list`` always return the same value."""
    value = default.value if isinstance(default, Enum) else default
    return callable(value) and inspect.getmodule(value) is not builtins
