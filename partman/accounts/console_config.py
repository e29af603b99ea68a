"""The console of the partner-management app."""

from uuid import UUID

from partman.serve.console.config import ConsoleConfig
from partman.tables import (
    Alert,
    Opportunity,
    Organization,
    Partner,
    QuarterlyGoal,
    User,
    organization_for_subdomain,
)
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession

UNUSABLE = "!"
"""The password hash of a user created in the console: no password matches it."""


_CONTACT = ("name", "title", "email", "phone")


async def _by_subdomain(subdomain: str) -> UUID | None:
    return await organization_for_subdomain(subdomain.lower())


CONSOLE = ConsoleConfig(
    accounts=ConsoleAccount,
    sessions=ConsoleSession,
    active=Organization.is_active,
    find_by=_by_subdomain,
    found_by="subdomain",
    named_by={
        QuarterlyGoal: (QuarterlyGoal.goal_type, QuarterlyGoal.year, QuarterlyGoal.quarter),
        Alert: (Alert.title,),
    },
    filled_in={User: {User.password_hash: UNUSABLE}},
    amounts={
        Opportunity.deal_value: Opportunity.currency,
        QuarterlyGoal.target_value: QuarterlyGoal.currency,
        QuarterlyGoal.current_value: QuarterlyGoal.currency,
    },
    details={
        Partner.primary_contact: _CONTACT,
        Opportunity.customer_contact: _CONTACT,
    },
    emails=(User.email,),
    read_only=(
        *(table.created_at for table in (Organization, User, Partner, Opportunity, QuarterlyGoal)),
        User.last_login_at,
    ),
)
