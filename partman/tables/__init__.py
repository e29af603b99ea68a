"""The tenant schema: one module a table."""

from partman.tables.alert import Alert
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
"""Every table of the app, the referenced ones first."""

__all__ = [
    "DATABASE_EXTRAS",
    "TABLES",
    "Alert",
    "Opportunity",
    "Organization",
    "Partner",
    "QuarterlyGoal",
    "User",
]
