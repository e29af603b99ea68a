"""The project's Piccolo apps, and what they offer to partman."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from piccolo.conf.apps import AppConfig, Finder
from piccolo.table import Table

from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import OfferMissingError, PartmanError, ProjectError
from partman.isolation import check_registered
from partman.project import conf_module, import_conf, not_importable

OWN_COMMANDS = frozenset(
    {"adopt", "check", "diagram", "distribute", "doctor", "drift", "history", "migrate", "new"}
    | {"plan", "redo", "rehearse", "reset", "resolve", "serve", "server", "sql", "status"}
    | {"undistribute", "verify", "wait"}
)
"""The names of partman's own commands, which no app may use."""


@dataclass(frozen=True)
class PartmanConfig:
    """What an app offers to partman beyond Piccolo's AppConfig.

    It is ``PARTMAN_CONFIG`` in the app's ``piccolo_app.py``. Names of the form ``module:attribute``
    are imported when they are needed. Raises ProjectError for a command that partman has itself.
    """

    database_extras: tuple[str, ...] = ()
    """SQL for the database as a whole, run after the app's tables are created and before their own
    extras.
    """
    rows: str | None = None
    """``async def fill(connection)``: inserts rows into empty tables, for ``verify``."""
    development_rows: str | None = None
    """``async def fill(settings)``: inserts development data into the migrated database, for
    ``reset``; returns what it did, in a sentence.
    """
    commands: Mapping[str, str] = field(default_factory=dict)
    """Commands of ``partman``, by name: Typer applications or functions."""
    console: str | None = None
    """The ConsoleConfig of ``partman serve``."""
    audit_rules: str | None = None
    """Additional rules for ``partman check``: a tuple of Rule."""
    tables_without_tenant: frozenset[str] = frozenset()
    """Names of tables that have the tenants' column although their rows belong to no tenant."""

    def __post_init__(self) -> None:
        """Reject names that partman could not call."""
        if taken := sorted(OWN_COMMANDS & self.commands.keys()):
            raise ProjectError(
                f"PARTMAN_CONFIG offers the command {', '.join(taken)}, which partman has itself. "
                "Nothing was done. Use another name."
            )
        offers = [
            *self.commands.values(),
            *(self.rows, self.development_rows, self.console, self.audit_rules),
        ]
        for reference in filter(None, offers):
            module, _, attribute = reference.partition(":")
            if not all(part.isidentifier() for part in (*module.split("."), attribute)):
                raise ProjectError(
                    f"PARTMAN_CONFIG names {reference!r}, which is not of the form "
                    "module:attribute. Nothing was done. Correct it."
                )


def app_modules() -> list[ModuleType]:
    """Return the ``piccolo_app`` modules, in the order in which Piccolo runs their migrations.

    Raises ProjectError.
    """
    with _importing():
        by_name = {module.APP_CONFIG.app_name: module for module in Finder().get_app_modules()}
    return [by_name[config.app_name] for config in app_configs()]


def app_configs() -> list[AppConfig]:
    """Return the AppConfigs, in the order in which Piccolo runs their migrations.

    Raises ProjectError.
    """
    with _importing():
        return Finder().get_app_configs(sort_by_migration_dependencies=True)


@contextmanager
def _importing() -> Iterator[None]:
    import_conf()
    try:
        yield
    except PartmanError:
        raise
    except (Exception, SystemExit) as error:
        # Piccolo's own Exception names the app, but not the cause.
        cause = error.__cause__ if type(error) is Exception and error.__cause__ else error
        raise not_importable(f"the apps of {conf_module()}", cause) from error


def partman_config(module: ModuleType) -> PartmanConfig:
    """Return what an app offers; an empty config if it has no PARTMAN_CONFIG."""
    found: PartmanConfig = getattr(module, "PARTMAN_CONFIG", PartmanConfig())
    return found


def offered(
    what: Literal["rows", "development_rows", "console", "audit_rules"],
    missing: Callable[[OfferMissingError], None] | None = None,
) -> dict[str, Any]:
    """Return the apps' offers of one kind, by app name, in Piccolo's order.

    ``missing`` is called for offers that are not installed, and these are left out; without it they
    raise OfferMissingError. Raises ProjectError for an offer that cannot be imported.
    """
    found = {}
    for module in app_modules():
        app, name = module.APP_CONFIG.app_name, getattr(partman_config(module), what)
        try:
            if name is not None:
                found[app] = imported(name, f"{what} in the PARTMAN_CONFIG of the app {app}")
        except OfferMissingError as error:
            if missing is None:
                raise
            missing(error)
    return found


def imported(name: str, source: str) -> Any:
    """Import ``module:attribute``; ``source`` says where the name is written.

    Raises OfferMissingError if the module does not exist, and ProjectError if it cannot be imported
    or lacks the attribute.
    """
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise OfferMissingError(
                f"{source} is {name!r}, but there is no module {module!r}. Nothing was done. Run "
                "the command in the folder that contains it, or install it."
            ) from error
        raise not_importable(f"{name}, {source}", error) from error
    except PartmanError:
        raise
    except (Exception, SystemExit) as error:
        raise not_importable(f"{name}, {source}", error) from error
    if not hasattr(found, attribute):
        raise ProjectError(
            f"{source} is {name!r}, but the module has no {attribute}. Nothing was done. Correct "
            "the name."
        )
    return getattr(found, attribute)


def table_classes() -> list[type[Table]]:
    """Return all table classes that the apps have registered.

    Raises TableDeclarationError for a tenant table that no app has registered, or that has another
    tenancy than the engine.
    """
    found = [table for config in app_configs() for table in config.table_classes]
    packages = {module.__name__.partition(".")[0] for module in app_modules()}
    check_registered(found, project_engine(DatabaseEngine).tenancy, packages)
    return found


def offered_commands() -> dict[str, str]:
    """Return the commands that the apps offer, by name. Raises ProjectError."""
    offered: dict[str, str] = {}
    for module in app_modules():
        for name, reference in partman_config(module).commands.items():
            if name in offered:
                raise ProjectError(
                    f"Two apps offer the command {name}: {offered[name]} and {reference}. Nothing "
                    "was done. Rename one of them."
                )
            offered[name] = reference
    return offered
