"""The console of this project: the app's declaration, the tenancy and the table classes."""

from dataclasses import dataclass

from piccolo.table import Table, sort_table_classes

from partman.apps import offered, table_classes
from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import SettingsError
from partman.isolation import Tenancy, TenantTable
from partman.serve.console.config import ConsoleConfig
from partman.serve.people.tenants import Tenants


@dataclass(frozen=True)
class ProjectConsole:
    """A console and the tables that it shows."""

    config: ConsoleConfig
    tenancy: Tenancy
    role: str
    """The role of its connections."""
    tables: tuple[type[Table], ...]
    """The table of the tenants and the tenant tables, referenced tables first."""
    tenants: Tenants


def project_console() -> ProjectConsole | None:
    """Return the console that an app of the project offers, or None.

    Raises SettingsError if two apps offer one, or if it does not fit the project.
    """
    offers = offered("console")
    if not offers:
        return None
    if len(offers) > 1:
        raise SettingsError(
            f"More than one app offers a console: {', '.join(offers)}. Nothing was started. Keep "
            "console in the PARTMAN_CONFIG of only one of them."
        )
    [(app, config)] = offers.items()
    if not isinstance(config, ConsoleConfig):
        raise SettingsError(
            f"The console of the app {app} is a {type(config).__name__}, not a ConsoleConfig. "
            "Nothing was started. Correct the name that `console` in its PARTMAN_CONFIG has."
        )
    return _over(config, _tenancy(app))


def _tenancy(app: str) -> Tenancy:
    tenancy = project_engine(DatabaseEngine).tenancy
    if tenancy is None or tenancy.roles.console is None:
        lacks = "no tenancy" if tenancy is None else "a tenancy without the role console"
        raise SettingsError(
            f"The app {app} offers a console, but the engine in piccolo_conf has {lacks}: the "
            "console shows the rows of one tenant at a time. Nothing was started. In "
            "piccolo_conf.py: DB = PartmanEngine(tenancy=Tenancy(...)), or remove the console "
            "from the app's PARTMAN_CONFIG."
        )
    return tenancy


def _over(config: ConsoleConfig, tenancy: Tenancy) -> ProjectConsole:
    registered = table_classes()
    tenants = [table for table in registered if table._meta.tablename == tenancy.table]
    tables = [table for table in registered if issubclass(table, TenantTable)]
    if not tenants:
        raise SettingsError(
            f"No app has registered a table class for {tenancy.table}, the table of the tenants. "
            "Nothing was started. Add it to the table_classes of the app's APP_CONFIG."
        )
    assert tenancy.roles.console is not None
    return ProjectConsole(
        config=config,
        tenancy=tenancy,
        role=tenancy.roles.console,
        tables=tuple(sort_table_classes([*tenants, *tables])),
        tenants=Tenants(
            tenants[0],
            config.name_columns(tenants[0]),
            config.active,
            config.find_by,
            config.found_by,
            config.list_by,
        ),
    )
