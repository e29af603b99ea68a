"""Refuse what two apps cannot share: a key to an app migrated later, a table of two apps."""

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from piccolo.columns import ForeignKey
from piccolo.conf.apps import AppConfig

from partman.apps import app_configs, app_modules
from partman.catalog.model import Catalog, Constraint
from partman.errors import NotExpressibleError
from partman.migration.autogenerate.app_of_object import AppOfObject
from partman.migration.autogenerate.piccolo_operations import Operations
from partman.migration.autogenerate.render import bare
from partman.migration.verification.build_from_classes import name_of, references, tables_by_app

_GOES = {
    "rename_table": "renamed",
    "drop_table": "dropped",
    "change_table_schema": "moved to another schema",
}
"""Piccolo's operations that leave no table of the old name."""


def refuse_keys_to_later_apps(asked: Mapping[str, Operations]) -> None:
    """Raise NotExpressibleError if an operation creates a key to an app that is migrated later."""
    modules = {module.APP_CONFIG.app_name: module for module in app_modules()}
    for app, other, key in _keys_to_later_apps():
        if app in asked and _is_new(key, asked[app]):
            column = f"{key._meta.table.__name__}.{key._meta.name}"
            table = references(key)._meta.tablename
            raise NotExpressibleError(
                f"{column} of app {app} refers to the table {table} of app {other}, and Piccolo "
                f"runs all migrations of {app} before those of {other}: in an empty database the "
                "table would be missing. Nothing was written. "
                f"{_remedy(modules[app], modules[other])}"
            )


def refuse_tables_that_go(
    asked: Mapping[str, Operations], found: Catalog, app_of: AppOfObject
) -> None:
    """Raise NotExpressibleError if a later app has a key to a table that is to be removed.

    In an empty database that app's migrations run afterwards and refer to the table.
    """
    for key in found.of(Constraint):
        table = key.referenced
        its = app_of(key, found)
        for app, operations in asked.items():
            if table is None or app_of.latest([app, its]) == app:
                continue
            for each in operations.operations:
                is_gone = each.name in _GOES and not each.is_about_a_class_only
                if is_gone and each.table == bare(table.name):
                    raise NotExpressibleError(
                        f"The table {each.table} of app {app} is {_GOES[each.name]}, and app {its} "
                        f"refers to it: {key.name} on {key.parent.name}. In an empty database "
                        f"Piccolo runs all migrations of {app} first, and those of {its} would not "
                        "find the table. Nothing was written. Keep the table and its name; a class "
                        f'may have another one: class Other(Table, tablename="{each.table}")'
                    )


def refuse_shared_tables(asked: Mapping[str, Operations]) -> None:
    """Raise NotExpressibleError if several apps register a table that is to be created."""
    apps: dict[str, list[str]] = {}
    for app in app_configs():
        for name in {table._meta.tablename for table in app.table_classes}:
            apps.setdefault(name, []).append(app.app_name)
    for operations in asked.values():
        for each in operations.operations:
            if each.name == "add_table" and len(of := apps.get(each.table or "", [])) > 1:
                raise NotExpressibleError(
                    f"The table {each.table} is registered by the apps {' and '.join(of)}, and "
                    "each of them would create it. Nothing was written. Remove it from the "
                    "table_classes of all but one. With exclude_imported=True, table_finder "
                    "skips tables that a module only imports."
                )


def _keys_to_later_apps() -> Iterator[tuple[str, str, ForeignKey[Any]]]:
    by_app = tables_by_app()
    order = list(by_app)
    app_of = {name_of(table): app for app, tables in by_app.items() for table in tables}
    for app, tables in by_app.items():
        for table in tables:
            for key in table._meta.foreign_key_columns:
                other = app_of.get(name_of(references(key)), app)
                if order.index(other) > order.index(app):
                    yield app, other, key


def _is_new(key: ForeignKey[Any], operations: Operations) -> bool:
    return any(
        each.table == key._meta.table._meta.tablename
        and each.column == key._meta.name
        and each.name in ("add_column", "alter_column")
        for each in operations.operations
    )


def _remedy(app: ModuleType, other: ModuleType) -> str:
    if app.APP_CONFIG.app_name in _needed_by(other.APP_CONFIG):
        return (
            "The two apps depend on each other, so no order of them works. Put both tables into "
            "one app, or remove one of the keys."
        )
    return (
        f"Have {app.APP_CONFIG.app_name} migrated after it: name {other.__name__!r} in the "
        "migration_dependencies of its AppConfig."
    )


def _needed_by(app: AppConfig) -> set[str]:
    names: set[str] = set()
    waiting = [app]
    while waiting:
        for need in waiting.pop().migration_dependency_app_configs:
            if need.app_name not in names:
                names.add(need.app_name)
                waiting.append(need)
    return names
