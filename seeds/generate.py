"""Generate all rows of a plan, organization by organization.

The same plan gives the same rows, including IDs, on every machine: each organization uses a random
generator of its own, seeded with the seed and its number, and no clock is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random
from uuid import UUID

from partman.tables.organization import SubscriptionTier
from partman.tables.partner import PartnerStatus
from partman.tables.user import Role
from seeds import names
from seeds.alerts import make_alerts
from seeds.calendar import days_before, in_working_hours
from seeds.goals import make_goals
from seeds.identity import seeded_id
from seeds.opportunities import LONGEST_CYCLE, OLDEST_CLOSE, make_opportunities
from seeds.rows import OrganizationRow, OrganizationRows, PartnerRow, UserRow, to_json
from seeds.tenant import Tenant

NO_PASSWORD = "!"  # noqa: S105 -- no bcrypt hash, so no password matches it
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
_PERMISSIONS: dict[Role, dict[str, str]] = {
    Role.ADMIN: {"users": "write", "partners": "write", "opportunities": "write"},
    Role.PARTNER_MANAGER: {"partners": "write", "opportunities": "write"},
    Role.SALES_REP: {"opportunities": "write"},
    Role.VIEWER: {},
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
        each, remainder = divmod(plan.opportunities, plan.organizations)
        yield _organization_rows(plan, number, each + (number < remainder))


def _organization_rows(plan: SeedPlan, number: int, opportunity_count: int) -> OrganizationRows:
    rng = Random(f"{plan.seed}:{number}")  # noqa: S311 -- sample data, no secret
    tenant = _tenant(plan, number)
    organizations = (
        () if tenant.organization_id == plan.default_organization else (_organization(rng, tenant),)
    )
    users = _users(rng, tenant)
    representatives = [user for user in users if user.role == Role.SALES_REP and user.is_active]
    partners = _partners(rng, tenant)
    opportunities = make_opportunities(rng, tenant, opportunity_count, partners, representatives)
    goals = make_goals(rng, tenant, representatives, opportunities)
    alerts = make_alerts(rng, tenant, users, partners, opportunities, goals)
    return OrganizationRows(organizations, users, partners, opportunities, goals, alerts)


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


def _organization(rng: Random, tenant: Tenant) -> OrganizationRow:
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


def _users(rng: Random, tenant: Tenant) -> tuple[UserRow, ...]:
    people = names.people(rng, len(TEAM))
    return tuple(
        _user(rng, tenant, number, person, role)
        for number, (person, role) in enumerate(zip(people, TEAM, strict=True))
    )


def _user(rng: Random, tenant: Tenant, number: int, person: names.Person, role: Role) -> UserRow:
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
        permissions=to_json(_PERMISSIONS[role]),
        personal_settings=to_json({"time_zone": names.TIME_ZONES[tenant.currency]}),
        last_login_at=in_working_hours(rng, last_login),
        is_active=is_active,
        created_at=created,
        updated_at=created,
    )


def _partners(rng: Random, tenant: Tenant) -> tuple[PartnerRow, ...]:
    poor = rng.randrange(len(names.PARTNERS) - 1)
    return tuple(
        _partner(rng, tenant, number, profile, is_poor=number == poor)
        for number, profile in enumerate(names.PARTNERS)
    )


def _partner(
    rng: Random, tenant: Tenant, number: int, profile: names.PartnerProfile, *, is_poor: bool
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


def _before_all_deals(rng: Random, tenant: Tenant) -> date:
    return days_before(tenant.as_of, rng.randrange(BEFORE_ALL_DEALS, 1000))
