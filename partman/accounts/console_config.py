"""The console of the partner-management app."""

from uuid import UUID

import asyncpg
from piccolo.querystring import QueryString

from partman.database.engine import project_engine
from partman.serve.console.config import ConsoleConfig
from partman.serve.people.tenants import Choice, Found, Search
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
from partman.tenant.engine import TenantEngine

UNUSABLE = "!"
"""The password hash of a user created in the console: no password matches it."""


_CONTACT = ("name", "title", "email", "phone")
_PERCENT = "Enter a number from 0 to 100."
_NOT_NEGATIVE = "Enter an amount that is not negative."
_CURRENCY = "Enter a code of three capital letters, such as EUR."


async def _by_subdomain(subdomain: str) -> UUID | None:
    return await organization_for_subdomain(subdomain.lower())


async def _by_name(search: Search) -> Found | None:
    """Return the active organizations whose name or subdomain contains the text.

    Only the console's login may ask that. None if the database is of a version without it.
    """
    engine = project_engine(TenantEngine)
    question = QueryString(
        "SELECT id, name, subdomain, found FROM public.active_organizations({}, {}, {})",
        *(search.text, search.most, search.skipped),
    )
    try:
        with engine.outside_of_tenant("active_organizations()"):
            rows = await engine.run_querystring(question)
    except asyncpg.UndefinedFunctionError:
        return None
    choices = tuple(Choice(str(row["id"]), row["name"], row["subdomain"]) for row in rows)
    return Found(choices, rows[0]["found"] if rows else 0)


CONSOLE = ConsoleConfig(
    accounts=ConsoleAccount,
    sessions=ConsoleSession,
    active=Organization.is_active,
    find_by=_by_subdomain,
    found_by="subdomain",
    list_by=_by_name,
    named_by={
        User: (User.first_name, User.last_name),
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
    rules={
        "partners_relationship_health_range": _PERCENT,
        "opportunities_probability_range": _PERCENT,
        "opportunities_deal_value_not_negative": _NOT_NEGATIVE,
        "quarterly_goals_target_value_not_negative": _NOT_NEGATIVE,
        "quarterly_goals_current_value_not_negative": _NOT_NEGATIVE,
        "opportunities_currency_is_iso": _CURRENCY,
        "quarterly_goals_currency_is_iso": _CURRENCY,
        "quarterly_goals_quarter_range": "Enter a quarter from 1 to 4.",
        "organizations_subdomain_is_host_label": (
            "Enter at most 63 of the characters a to z, 0 to 9 and -, with no - at the ends."
        ),
    },
    emails=(User.email,),
    read_only=(
        *(table.created_at for table in (Organization, User, Partner, Opportunity, QuarterlyGoal)),
        User.last_login_at,
    ),
)
