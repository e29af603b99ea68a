"""Generate deals; the stage determines all other columns."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from partman.tables.opportunity import OpportunityStatus, Stage
from partman.tables.partner import PartnerStatus
from seeds import names
from seeds.calendar import days_before, in_working_hours
from seeds.commission import CENT, details_json
from seeds.dice import Dice
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


class StageProfile(NamedTuple):
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

_SHARES = tuple(accumulate(profile.share for profile in STAGES.values()))
_DOCUMENTS = {
    Stage.PROPOSAL: ("proposal.pdf",),
    Stage.NEGOTIATION: ("proposal.pdf", "contract-draft.docx"),
    Stage.CLOSED_WON: ("proposal.pdf", "contract-signed.pdf"),
}


class _Kind(NamedTuple):
    """What the deals of a stage have in common: values, because looking up an enum is slow."""

    stage: str
    status: str
    is_open: bool
    is_lost: bool
    profile: StageProfile
    documents: tuple[str, ...]


def _kind(stage: Stage, profile: StageProfile) -> _Kind:
    ends = {
        Stage.CLOSED_WON: OpportunityStatus.WON,
        Stage.CLOSED_LOST: OpportunityStatus.LOST,
    }
    status = ends.get(stage, OpportunityStatus.OPEN)
    return _Kind(
        stage.value,
        status.value,
        status is OpportunityStatus.OPEN,
        status is OpportunityStatus.LOST,
        profile,
        _DOCUMENTS.get(stage, ()),
    )


_KINDS = tuple(_kind(stage, profile) for stage, profile in STAGES.items())
_SEATS = (10, 25, 40, 60, 85, 120, 250, 400, 750, 1200)
_YEARLY_PRICES = tuple(
    Decimal(price) for price in ("89.00", "119.40", "149.88", "239.88", "312.50", "480.00")
)
_DISCOUNTS = (0, 0, 0, 5, 10, 15, 18)


class _Course(NamedTuple):
    """When a deal was entered, last changed, and closed or expected to close."""

    created: date
    updated: date
    expected_close: date
    actual_close: date | None


@dataclass(frozen=True)
class _Customer:
    """A customer, perhaps with several deals."""

    name: str
    contact: str


@dataclass(frozen=True)
class Market:
    """Who sells to whom in an organization."""

    partners: Sequence[PartnerRow]
    """Those with an agreement in force."""
    customers: Sequence[_Customer]
    owners: Sequence[UserRow]


def make_market(
    rng: Dice, count: int, partners: Sequence[PartnerRow], owners: Sequence[UserRow]
) -> Market:
    """Return the market for that many deals."""
    active = [partner for partner in partners if partner.status == PartnerStatus.ACTIVE]
    return Market(active, [_customer(rng) for _ in range(min(count, CUSTOMERS))], owners)


def make_opportunities(
    rng: Dice, tenant: Tenant, market: Market, numbers: range
) -> tuple[OpportunityRow, ...]:
    """Return the deals of those numbers; the first ones are one of each stage."""
    return tuple(
        _opportunity(
            rng,
            tenant,
            row_id,
            _KINDS[number] if number < len(_KINDS) else None,
            rng.pick(market.partners),
            rng.pick(market.customers),
            rng.pick(market.owners),
        )
        for number, row_id in zip(numbers, tenant.row_ids("opportunities", numbers), strict=True)
    )


def _opportunity(
    rng: Dice,
    tenant: Tenant,
    row_id: UUID,
    kind: _Kind | None,
    partner: PartnerRow,
    customer: _Customer,
    owner: UserRow,
) -> OpportunityRow:
    kind = kind or _drawn_kind(rng)
    profile = kind.profile
    course = _course(rng, kind, tenant.as_of)
    deal_value = _deal_value(rng.pick(_SEATS), rng.pick(_YEARLY_PRICES), rng.pick(_DISCOUNTS))
    currency = tenant.currency if rng.below(100) < 70 else rng.pick(names.CURRENCIES)
    unassigned = kind.is_open and rng.below(100) < 5
    payout = _payout(kind, course, tenant.as_of)
    return OpportunityRow(
        id=row_id,
        organization_id=tenant.organization_id,
        partner_id=partner.id,
        assigned_user_id=None if unassigned else owner.id,
        customer_name=customer.name,
        customer_contact=customer.contact,
        deal_value=deal_value,
        currency=currency,
        stage=kind.stage,
        probability=profile.probability,
        expected_close_date=course.expected_close,
        actual_close_date=course.actual_close,
        commission_details=details_json(partner.commission_structure, deal_value, currency, payout),
        notes=_note(profile.note, partner.name),
        attachments=_attachments(rng, kind.documents),
        status=kind.status,
        created_at=in_working_hours(rng, course.created),
        updated_at=in_working_hours(rng, course.updated),
    )


def _drawn_kind(rng: Dice) -> _Kind:
    """Return a random stage, by its share."""
    return _KINDS[bisect(_SHARES, rng.random() * _SHARES[-1], 0, len(_KINDS) - 1)]


def _course(rng: Dice, kind: _Kind, as_of: date) -> _Course:
    expected = rng.pick(kind.profile.expected)
    if not kind.is_open:
        # Half of them recently: business grows, and the current quarter has results.
        recent = rng.pick((RECENT_CLOSE, OLDEST_CLOSE))
        ago = 1 + rng.below(recent - 1)
        closed = days_before(as_of, ago)
        created = days_before(as_of, ago + 20 + rng.below(LONGEST_CYCLE - 20))
        return _Course(created, closed, days_before(as_of, ago - expected), closed)
    age = 25 + rng.below(LONGEST_CYCLE - 25)
    # Most deals are worked on; every fifth one is neglected.
    quiet = 1 + rng.below(14) if rng.below(5) else 20 + rng.below(min(age, 75) - 20)
    return _Course(
        days_before(as_of, age), days_before(as_of, quiet), days_before(as_of, -expected), None
    )


@cache
def _deal_value(seats: int, price: Decimal, discount: int) -> Decimal:
    """Return the price of a year for a number of seats, with a discount for large deals."""
    return (seats * price * (100 - discount) / 100).quantize(CENT, ROUND_HALF_UP)


@cache
def _note(note: str, partner: str) -> str:
    return note.format(partner=partner)


def _payout(kind: _Kind, course: _Course, as_of: date) -> str:
    if kind.is_open:
        return "projected"
    if kind.is_lost:
        return "void"
    return "paid" if course.updated < days_before(as_of, PAID_AFTER) else "due"


def _customer(rng: Dice) -> _Customer:
    name = names.customer(rng)
    person = names.person(rng)
    contact = {
        "name": person.full,
        "title": rng.pick(names.TITLES),
        "email": person.email_at(f"{names.subdomain(name)}.example"),
    }
    return _Customer(name, to_json(contact))


def _attachments(rng: Dice, documents: Sequence[str]) -> str:
    if not documents:
        return "[]"
    # What to_json() would write, without a million calls of it.
    written = [
        f'{{"name":"{name}","size_bytes":{40_000 + rng.below(1_960_000)}}}' for name in documents
    ]
    return f"[{','.join(written)}]"
