"""The tenant schema, one module for each table, and the console's own tables.

A table is found if a module of this package declares it.
"""

import pkgutil

from piccolo.conf.apps import table_finder
from piccolo.table import Table, sort_table_classes

from partman.tables.alert import Alert
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession
from partman.tables.functions import DATABASE_EXTRAS
from partman.tables.lookup import organization_for_subdomain, organizations
from partman.tables.opportunity import Opportunity
from partman.tables.organization import Organization
from partman.tables.partner import Partner
from partman.tables.quarterly_goal import QuarterlyGoal
from partman.tables.tenancy import TENANCY
from partman.tables.tenant import TenantTable
from partman.tables.user import User

_MODULES = [module.name for module in pkgutil.walk_packages(__path__, f"{__name__}.")]

ALL_TABLES: tuple[type[Table], ...] = tuple(
    sort_table_classes(table_finder(_MODULES, exclude_imported=True))
)
"""Every table that a module of this package declares, referenced tables first."""

TABLES: tuple[type[Organization] | type[TenantTable], ...] = tuple(
    table for table in ALL_TABLES if issubclass(table, Organization | TenantTable)
)
"""Every table of the tenants, referenced tables first."""

CONSOLE_TABLES: tuple[type[Table], ...] = (ConsoleAccount, ConsoleSession)
"""The tables that only the console uses."""

__all__ = [
    "ALL_TABLES",
    "CONSOLE_TABLES",
    "DATABASE_EXTRAS",
    "TABLES",
    "TENANCY",
    "Alert",
    "ConsoleAccount",
    "ConsoleSession",
    "Opportunity",
    "Organization",
    "Partner",
    "QuarterlyGoal",
    "TenantTable",
    "User",
    "organization_for_subdomain",
    "organizations",
]
