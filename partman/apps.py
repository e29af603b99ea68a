"""The project's Piccolo apps, as Piccolo has them, and what they offer to partman."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from piccolo.conf.apps import AppConfig, Finder
from piccolo.table import Table


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


def table_classes() -> list[type[Table]]:
    """Return all table classes that the apps have registered."""
    return [table for config in app_configs() for table in config.table_classes]
