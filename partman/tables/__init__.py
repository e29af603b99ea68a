"""The tenant schema, one module a table; and what the console keeps beside it."""

from piccolo.table import Table

from partman.tables.alert import Alert
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession
from partman.tables.functions import DATABASE_EXTRAS
from partman.tables.opportunity import Opportunity
from partman.tables.organization import Organization
from partman.tables.partner import Partner
from partman.tables.quarterly_goal import QuarterlyGoal
from partman.tables.tenant import TenantTable
from partman.tables.user import User

TABLES: tuple[type[Organization] | type[TenantTable], ...] = (
    Organization,
    User,
    Partner,
    Opportunity,
    QuarterlyGoal,
    Alert,
)
"""Every table of the tenants, the referenced ones first."""

CONSOLE_TABLES: tuple[type[Table], ...] = (ConsoleAccount, ConsoleSession)
"""What is nobody's but the console's."""

__all__ = [
    "CONSOLE_TABLES",
    "DATABASE_EXTRAS",
    "TABLES",
    "Alert",
    "ConsoleAccount",
    "ConsoleSession",
    "Opportunity",
    "Organization",
    "Partner",
    "QuarterlyGoal",
    "User",
]
