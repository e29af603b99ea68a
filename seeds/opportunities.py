"""Generate deals; the stage determines all other columns."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate
from random import Random

from partman.tables.opportunity import OpportunityStatus, Stage
from partman.tables.partner import PartnerStatus
from seeds import names
from seeds.calendar import days_before, in_working_hours
from seeds.commission import CENT, Structure, details
from seeds.rows import OpportunityRow, PartnerRow, UserRow, to_json
from seeds.tenant import Tenant

LONGEST_CYCLE = 150
"""Maximum number of days between a deal's first entry and its end."""
OLDEST_CLOSE = 400
"""Days before the as-of date when the oldest deals were closed: more than four quarters."""
RECENT_CLOSE = 100
"""Days before the as-of date within which at least half of the closed deals were closed."""
CUSTOMERS = 300
"""Maximum number of different customers of an organization."""
PAID_AFTER = 60
"""Days between winning a deal and paying its commission."""


@dataclass(frozen=True)
class StageProfile:
    """Typical values for the deals of a stage."""

    probability: int
    """Percent, as a sales team sets it for the whole stage."""
    share: int
    """Percent of all deals."""
    expected: range
    """Days from the as-of date (open deals) or from the close (closed ones)."""
    note: str


STAGES = {
    Stage.PROSPECTING: StageProfile(10, 17, range(60, 240), "Introduced by {partner}."),
    Stage.QUALIFICATION: StageProfile(25, 15, range(40, 180), "Budget and timeline to confirm."),
    Stage.PROPOSAL: StageProfile(50, 14, range(14, 120), "Proposal sent with {partner}."),
    Stage.NEGOTIATION: StageProfile(75, 10, range(-20, 60), "Legal reviews the contract."),
    Stage.CLOSED_WON: StageProfile(100, 29, range(-15, 30), "Signed; handed over to {partner}."),
    Stage.CLOSED_LOST: StageProfile(0, 15, range(-15, 30), "Went with a competitor."),
}

_ALL_STAGES = tuple(STAGES)
_SHARES = tuple(accumulate(profile.share for profile in STAGES.values()))
_STATUS = {
    Stage.CLOSED_WON: OpportunityStatus.WON,
    Stage.CLOSED_LOST: OpportunityStatus.LOST,
}
_SEATS = (10, 25, 40, 60, 85, 120, 250, 400, 750, 1200)
_YEARLY_PRICES = tuple(
    Decimal(price) for price in ("89.00", "119.40", "149.88", "239.88", "312.50", "480.00")
)
_DISCOUNTS = (0, 0, 0, 5, 10, 15, 18)


@dataclass(frozen=True)
class _Offer:
    """A partner and its commission."""

    partner: PartnerRow
    structure: Structure


@dataclass(frozen=True)
class _Customer:
    """A customer, perhaps with several deals."""

    name: str
    contact: str


@dataclass(frozen=True)
class _Course:
    """When a deal was entered, last changed, and closed or expected to close."""

    created: date
    updated: date
    expected_close: date
    actual_close: date | None


def make_opportunities(
    rng: Random,
    tenant: Tenant,
    count: int,
    partners: Sequence[PartnerRow],
    owners: Sequence[UserRow],
) -> tuple[OpportunityRow, ...]:
    """Return that many deals; each stage occurs if there are at least as many deals as stages."""
    sellable = [
        _Offer(partner, json.loads(partner.commission_structure))
        for partner in partners
        if partner.status == PartnerStatus.ACTIVE
    ]
    customers = [_customer(rng) for _ in range(min(count, CUSTOMERS))]
    return tuple(
        _opportunity(
            rng, tenant, number, rng.choice(sellable), rng.choice(customers), rng.choice(owners)
        )
        for number in range(count)
    )


def _opportunity(
    rng: Random,
    tenant: Tenant,
    number: int,
    offer: _Offer,
    customer: _Customer,
    owner: UserRow,
) -> OpportunityRow:
    stage = _stage(rng, number)
    status = _STATUS.get(stage, OpportunityStatus.OPEN)
    course = _course(rng, stage, tenant.as_of)
    deal_value = _deal_value(rng)
    currency = tenant.currency if rng.randrange(100) < 70 else rng.choice(names.CURRENCIES)
    unassigned = status is OpportunityStatus.OPEN and rng.randrange(100) < 5
    payout = _payout(status, course, tenant.as_of)
    return OpportunityRow(
        id=tenant.row_id("opportunities", number),
        organization_id=tenant.organization_id,
        partner_id=offer.partner.id,
        assigned_user_id=None if unassigned else owner.id,
        customer_name=customer.name,
        customer_contact=customer.contact,
        deal_value=deal_value,
        currency=currency,
        stage=stage.value,
        probability=STAGES[stage].probability,
        expected_close_date=course.expected_close,
        actual_close_date=course.actual_close,
        commission_details=to_json(details(offer.structure, deal_value, currency, payout)),
        notes=STAGES[stage].note.format(partner=offer.partner.name),
        attachments=_attachments(rng, stage),
        status=status.value,
        created_at=in_working_hours(rng, course.created),
        updated_at=in_working_hours(rng, course.updated),
    )


def _stage(rng: Random, number: int) -> Stage:
    """Return each stage once, then random ones by their share."""
    if number < len(STAGES):
        return _ALL_STAGES[number]
    return rng.choices(_ALL_STAGES, cum_weights=_SHARES)[0]


def _course(rng: Random, stage: Stage, as_of: date) -> _Course:
    expected = rng.choice(STAGES[stage].expected)
    if stage in _STATUS:
        # Half of them recently: business grows, and the current quarter has results.
        closed = days_before(as_of, rng.randrange(1, rng.choice((RECENT_CLOSE, OLDEST_CLOSE))))
        created = days_before(closed, rng.randrange(20, LONGEST_CYCLE))
        return _Course(created, closed, closed + timedelta(days=expected), closed)
    age = rng.randrange(25, LONGEST_CYCLE)
    # Most deals are worked on; every fifth one is neglected.
    quiet = rng.randrange(1, 15) if rng.randrange(5) else rng.randrange(20, min(age, 75))
    return _Course(
        days_before(as_of, age), days_before(as_of, quiet), as_of + timedelta(days=expected), None
    )


def _deal_value(rng: Random) -> Decimal:
    """Return the price of a year for a number of seats, with a discount for large deals."""
    full = rng.choice(_SEATS) * rng.choice(_YEARLY_PRICES)
    return (full * (100 - rng.choice(_DISCOUNTS)) / 100).quantize(CENT, ROUND_HALF_UP)


def _payout(status: OpportunityStatus, course: _Course, as_of: date) -> str:
    if status is OpportunityStatus.OPEN:
        return "projected"
    if status is OpportunityStatus.LOST:
        return "void"
    return "paid" if course.updated < days_before(as_of, PAID_AFTER) else "due"


def _customer(rng: Random) -> _Customer:
    name = names.customer(rng)
    person = names.person(rng)
    contact = {
        "name": person.full,
        "title": rng.choice(names.TITLES),
        "email": person.email_at(f"{names.subdomain(name)}.example"),
    }
    return _Customer(name, to_json(contact))


def _attachments(rng: Random, stage: Stage) -> str:
    documents = {
        Stage.PROPOSAL: ["proposal.pdf"],
        Stage.NEGOTIATION: ["proposal.pdf", "contract-draft.docx"],
        Stage.CLOSED_WON: ["proposal.pdf", "contract-signed.pdf"],
    }
    return to_json(
        [
            {"name": name, "size_bytes": rng.randrange(40_000, 2_000_000)}
            for name in documents.get(stage, [])
        ]
    )
