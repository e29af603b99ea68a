"""The project's Piccolo apps, as Piccolo has them, and what they offer to partman."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from piccolo.conf.apps import AppConfig, Finder
from piccolo.table import Table

from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import SettingsError
from partman.isolation import check_registered


@dataclass(frozen=True)
class PartmanConfig:
    """What an app offers to partman beyond Piccolo's AppConfig.

    It is ``PARTMAN_CONFIG`` in the app's ``piccolo_app.py``. What is named as ``module:attribute``
    is imported when it is needed.
    """

    database_extras: tuple[str, ...] = ()
    """SQL that concerns the database as a whole: run after the app's tables are created, and before
    their own extras."""
    rows: str | None = None
    """``async def fill(connection)``: puts rows into tables that have none yet, for ``verify``."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """Commands of ``partman``, by name: Typer applications or functions."""
    console: str | None = None
    """The ConsoleConfig of ``partman serve``."""
    audit_rules: str | None = None
    """More rules for ``partman check``: a tuple of Rule."""
    tables_without_tenant: frozenset[str] = frozenset()
    """Names of tables that have the tenants' column although their rows are no tenant's."""


def app_modules() -> list[ModuleType]:
    """Return the ``piccolo_app`` modules, in the order in which Piccolo runs their migrations."""
    by_name = {module.APP_CONFIG.app_name: module for module in Finder().get_app_modules()}
    return [by_name[config.app_name] for config in app_configs()]


def app_configs() -> list[AppConfig]:
    """Return the apps' AppConfigs, in the order in which Piccolo runs their migrations."""
    return Finder().get_app_configs(sort_by_migration_dependencies=True)


def partman_config(module: ModuleType) -> PartmanConfig:
    """Return what an app offers; nothing, for one that has never heard of partman."""
    found: PartmanConfig = getattr(module, "PARTMAN_CONFIG", PartmanConfig())
    return found


def offered(what: Literal["rows", "console", "audit_rules"]) -> dict[str, Any]:
    """Return what the apps offer of this kind, by the app's name, in Piccolo's order.

    Raises SettingsError for one that cannot be imported.
    """
    named = {
        module.APP_CONFIG.app_name: getattr(partman_config(module), what)
        for module in app_modules()
    }
    return {
        app: imported(name, f"{what} in the PARTMAN_CONFIG of the app {app}")
        for app, name in named.items()
        if name is not None
    }


def imported(name: str, said_by: str) -> Any:
    """Return what ``module:attribute`` names; ``said_by`` says where that is written.

    Raises SettingsError where there is no such thing, and what importing the module raises.
    """
    module, _, attribute = name.partition(":")
    found = None
    if all(part.isidentifier() for part in module.split(".")):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
    if not hasattr(found, attribute):
        missing = f"module {module!r}" if found is None else f"{attribute or 'attribute'} in it"
        raise SettingsError(
            f"{said_by} is {name!r}, and there is no {missing}. Nothing was done. It has the form "
            "module:attribute."
        )
    return getattr(found, attribute)


def table_classes() -> list[type[Table]]:
    """Return all table classes that the apps have registered.

    Raises TableDeclarationError for a tenant table that none has, or of another tenancy than the
    engine's.
    """
    found = [table for config in app_configs() for table in config.table_classes]
    check_registered(found, project_engine(DatabaseEngine).tenancy)
    return found
