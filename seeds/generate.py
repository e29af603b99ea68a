"""Generate all rows of a plan, organization by organization, in portions.

The same plan gives the same rows, including IDs, on every machine and in any number of processes.
Each organization uses a random generator of its own, seeded with the seed and its number; each
further portion of its deals, too. No clock is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from partman.tables.organization import SubscriptionTier
from partman.tables.partner import PartnerStatus
from partman.tables.user import Role
from seeds import names
from seeds.alerts import make_alerts, make_alerts_of_deals
from seeds.calendar import days_before, in_working_hours
from seeds.dice import Dice
from seeds.goals import WonResults, make_goals
from seeds.identity import seeded_id
from seeds.opportunities import LONGEST_CYCLE, OLDEST_CLOSE, make_market, make_opportunities
from seeds.rows import OrganizationRow, OrganizationRows, PartnerRow, UserRow, to_json
from seeds.tenant import Tenant

NO_PASSWORD = "!"  # noqa: S105 -- no bcrypt hash, so no password matches it
PORTION = 5_000
"""Deals of an organization that are in memory at a time. A change of it changes the rows of an
organization with more deals.
"""
BEFORE_ALL_DEALS = OLDEST_CLOSE + LONGEST_CYCLE
"""Days before the as-of date after which deals were entered; people and partners are older."""

TEAM = (
    Role.ADMIN,
    Role.PARTNER_MANAGER,
    Role.PARTNER_MANAGER,
    Role.SALES_REP,
    Role.SALES_REP,
    Role.SALES_REP,
    Role.SALES_REP,
    Role.VIEWER,
)
LEFT_THE_TEAM = 6
"""The representative with the deactivated account, who gets no rows."""
_NOT_IN_FORCE = (PartnerStatus.PENDING, PartnerStatus.INACTIVE, PartnerStatus.TERMINATED)
_PERMISSIONS = {
    Role.ADMIN: to_json({"users": "write", "partners": "write", "opportunities": "write"}),
    Role.PARTNER_MANAGER: to_json({"partners": "write", "opportunities": "write"}),
    Role.SALES_REP: to_json({"opportunities": "write"}),
    Role.VIEWER: to_json({}),
}


@dataclass(frozen=True)
class SeedPlan:
    """The parameters of the data."""

    seed: int
    """0 to ``identity.MAX_SEED``."""
    as_of: date
    """Reference date for the generated data; see ``Tenant.as_of``."""
    organizations: int
    """The number of organizations with data, including the default organization."""
    opportunities: int
    """The total number of opportunities, distributed evenly."""
    default_organization: UUID | None = None
    """The first organization, which exists already; None to create one in its place."""


def generate(plan: SeedPlan) -> Iterator[OrganizationRows]:
    """Yield the rows of each organization."""
    for number in range(plan.organizations):
        yield OrganizationRows.joined(list(portions(plan, [number])))


def portions(plan: SeedPlan, numbers: Iterable[int]) -> Iterator[OrganizationRows]:
    """Yield the rows of those organizations, at most about PORTION of a table at a time.

    What a row refers to is in the same portion or in an earlier one of the same organization.
    """
    each, remainder = divmod(plan.opportunities, plan.organizations)
    for number in numbers:
        yield from _organization(plan, number, each + (number < remainder))


def _organization(plan: SeedPlan, number: int, deal_count: int) -> Iterator[OrganizationRows]:
    rng = Dice(f"{plan.seed}:{number}")
    tenant = _tenant(plan, number)
    is_there = tenant.organization_id == plan.default_organization
    organizations = () if is_there else (_organization_row(rng, tenant),)
    users = _users(rng, tenant)
    representatives = [user for user in users if user.role == Role.SALES_REP and user.is_active]
    partners = _partners(rng, tenant)
    market = make_market(rng, deal_count, partners, representatives)
    deals = make_opportunities(rng, tenant, market, range(min(deal_count, PORTION)))
    first = OrganizationRows(organizations, users, partners, deals)
    results = WonResults(tenant.currency)
    results.add(deals)
    if deal_count > PORTION:
        yield first
        first = OrganizationRows()
        for start in range(PORTION, deal_count, PORTION):
            more = range(start, min(start + PORTION, deal_count))
            dice = Dice(f"{plan.seed}:{number}:{start}")
            further = make_opportunities(dice, tenant, market, more)
            results.add(further)
            # The numbers below 2 * PORTION are those of the other alerts: at most one for a deal, a
            # partner and a goal.
            alerts = make_alerts_of_deals(dice, tenant, partners, further, PORTION + start)
            yield OrganizationRows(opportunities=further, alerts=alerts)
    goals = make_goals(rng, tenant, representatives, results)
    alerts = make_alerts(rng, tenant, users, partners, deals, goals)
    yield replace(first, quarterly_goals=goals, alerts=alerts)


def _tenant(plan: SeedPlan, number: int) -> Tenant:
    existing = plan.default_organization if number == 0 else None
    name = names.organization(number)
    return Tenant(
        seed=plan.seed,
        number=number,
        organization_id=existing or seeded_id("organizations", plan.seed, number, 0),
        name=name,
        currency=names.CURRENCIES[number % len(names.CURRENCIES)],
        as_of=plan.as_of,
    )


def _organization_row(rng: Dice, tenant: Tenant) -> OrganizationRow:
    created = in_working_hours(rng, days_before(tenant.as_of, rng.randrange(1000, 1500)))
    return OrganizationRow(
        id=tenant.organization_id,
        name=tenant.name,
        subdomain=tenant.subdomain,
        settings=to_json(
            {"currency": tenant.currency, "time_zone": names.TIME_ZONES[tenant.currency]}
        ),
        is_active=True,
        subscription_tier=rng.choice(list(SubscriptionTier)).value,
        max_users=rng.choice((10, 25, 50)),
        created_at=created,
        updated_at=created,
    )


def _users(rng: Dice, tenant: Tenant) -> tuple[UserRow, ...]:
    people = names.people(rng, len(TEAM))
    return tuple(
        _user(rng, tenant, number, person, role)
        for number, (person, role) in enumerate(zip(people, TEAM, strict=True))
    )


def _user(rng: Dice, tenant: Tenant, number: int, person: names.Person, role: Role) -> UserRow:
    is_active = number != LEFT_THE_TEAM
    last_login = days_before(
        tenant.as_of, rng.randrange(1, 15) if is_active else rng.randrange(100, 300)
    )
    created = in_working_hours(rng, _before_all_deals(rng, tenant))
    return UserRow(
        id=tenant.row_id("users", number),
        organization_id=tenant.organization_id,
        email=person.email_at(f"{tenant.subdomain}.example"),
        password_hash=NO_PASSWORD,
        first_name=person.first,
        last_name=person.last,
        role=role.value,
        permissions=_PERMISSIONS[role],
        personal_settings=to_json({"time_zone": names.TIME_ZONES[tenant.currency]}),
        last_login_at=in_working_hours(rng, last_login),
        is_active=is_active,
        created_at=created,
        updated_at=created,
    )


def _partners(rng: Dice, tenant: Tenant) -> tuple[PartnerRow, ...]:
    poor = rng.randrange(len(names.PARTNERS) - 1)
    return tuple(
        _partner(rng, tenant, number, profile, is_poor=number == poor)
        for number, profile in enumerate(names.PARTNERS)
    )


def _partner(
    rng: Dice, tenant: Tenant, number: int, profile: names.PartnerProfile, *, is_poor: bool
) -> PartnerRow:
    is_last = number == len(names.PARTNERS) - 1
    host = f"{names.subdomain(profile.name)}.example"
    contact = names.person(rng)
    signed = _before_all_deals(rng, tenant)
    return PartnerRow(
        id=tenant.row_id("partners", number),
        organization_id=tenant.organization_id,
        name=profile.name,
        domain=profile.domain,
        website=f"https://www.{host}",
        commission_structure=to_json(profile.commission_structure),
        relationship_health=rng.randrange(15, 40) if is_poor else rng.randrange(45, 98),
        primary_contact=to_json(
            {"name": contact.full, "title": "Channel Manager", "email": contact.email_at(host)}
        ),
        agreement_details=to_json(
            {
                "signed_on": signed.isoformat(),
                "term_months": rng.choice((12, 24, 36)),
                "renews_automatically": rng.choice((True, False)),
            }
        ),
        # The last partner's agreement is not in force, so it has no deals.
        status=(rng.choice(_NOT_IN_FORCE) if is_last else PartnerStatus.ACTIVE).value,
        created_at=in_working_hours(rng, signed),
        updated_at=in_working_hours(rng, days_before(tenant.as_of, rng.randrange(1, 60))),
    )


def _before_all_deals(rng: Dice, tenant: Tenant) -> date:
    return days_before(tenant.as_of, rng.randrange(BEFORE_ALL_DEALS, 1000))
