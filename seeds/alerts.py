"""Alerts, each with a row that is its reason."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from partman.tables.alert import AlertStatus, EntityType, Priority
from partman.tables.opportunity import OpportunityStatus
from partman.tables.partner import PartnerStatus
from partman.tables.quarterly_goal import GoalStatus
from partman.tables.user import Role
from seeds.calendar import YearQuarter, days_before, in_working_hours
from seeds.dice import Dice
from seeds.rows import AlertRow, GoalRow, OpportunityRow, PartnerRow, UserRow
from seeds.tenant import Tenant

STALLED_AFTER = 30
"""Days without a change after which an open deal counts as stalled."""
POOR_HEALTH = 40
"""A partner whose health is below this gets an alert."""
BEHIND_BY = 0.25
"""How far a goal may be behind the quarter's calendar, as a share of its target."""
LARGE_DEAL = 250_000
"""The value from which a won deal is announced, and a stalled one is critical."""


class _Reason(NamedTuple):
    """The contents of an alert, before its status is chosen."""

    alert_type: str
    entity_type: EntityType
    entity_id: UUID
    user_id: UUID | None
    title: str
    message: str
    priority: Priority
    triggered_at: datetime


def make_alerts(
    rng: Dice,
    tenant: Tenant,
    users: Sequence[UserRow],
    partners: Sequence[PartnerRow],
    opportunities: Sequence[OpportunityRow],
    goals: Sequence[GoalRow],
) -> tuple[AlertRow, ...]:
    """Return an alert for each row with a reason for one."""
    reasons = [
        *_stalled_deals(rng, tenant, partners, opportunities),
        *_large_deals_won(partners, opportunities),
        *_poor_partners(rng, tenant, users, partners),
        *_goals_at_risk(rng, tenant, users, goals),
    ]
    return _alerts(rng, tenant, reasons, 0)


def make_alerts_of_deals(
    rng: Dice,
    tenant: Tenant,
    partners: Sequence[PartnerRow],
    opportunities: Sequence[OpportunityRow],
    first: int,
) -> tuple[AlertRow, ...]:
    """Return an alert for each deal with a reason for one; ``first`` is the number of the first."""
    reasons = [
        *_stalled_deals(rng, tenant, partners, opportunities),
        *_large_deals_won(partners, opportunities),
    ]
    return _alerts(rng, tenant, reasons, first)


def _alerts(
    rng: Dice, tenant: Tenant, reasons: Sequence[_Reason], first: int
) -> tuple[AlertRow, ...]:
    ids = tenant.row_ids("alerts", range(first, first + len(reasons)))
    return tuple(
        _alert(rng, tenant, row_id, reason) for row_id, reason in zip(ids, reasons, strict=True)
    )


def _stalled_deals(
    rng: Dice,
    tenant: Tenant,
    partners: Sequence[PartnerRow],
    opportunities: Sequence[OpportunityRow],
) -> Iterator[_Reason]:
    partner_names = {partner.id: partner.name for partner in partners}
    is_open, first_quiet = OpportunityStatus.OPEN.value, days_before(tenant.as_of, STALLED_AFTER)
    for deal in opportunities:
        if deal.status != is_open or deal.updated_at.date() >= first_quiet:
            continue
        noticed = deal.updated_at.date() + timedelta(days=STALLED_AFTER)
        yield _Reason(
            "stalled_deal",
            EntityType.OPPORTUNITY,
            deal.id,
            deal.assigned_user_id,
            f"Stalled deal: {deal.customer_name} ({partner_names[deal.partner_id]})",
            f"Nothing has changed since {deal.updated_at.date()}. {deal.currency} "
            f"{deal.deal_value:,} in {deal.stage}, expected to close on "
            f"{deal.expected_close_date}.",
            Priority.CRITICAL if deal.deal_value >= LARGE_DEAL else Priority.HIGH,
            in_working_hours(rng, noticed),
        )


def _large_deals_won(
    partners: Sequence[PartnerRow], opportunities: Sequence[OpportunityRow]
) -> Iterator[_Reason]:
    partner_names = {partner.id: partner.name for partner in partners}
    is_won = OpportunityStatus.WON.value
    for deal in opportunities:
        if deal.status != is_won or deal.deal_value < LARGE_DEAL:
            continue
        yield _Reason(
            "large_deal_won",
            EntityType.OPPORTUNITY,
            deal.id,
            deal.assigned_user_id,
            f"Large deal won: {deal.customer_name} ({partner_names[deal.partner_id]})",
            f"{deal.currency} {deal.deal_value:,}, closed on {deal.actual_close_date}.",
            Priority.LOW,
            deal.updated_at,
        )


def _poor_partners(
    rng: Dice, tenant: Tenant, users: Sequence[UserRow], partners: Sequence[PartnerRow]
) -> Iterator[_Reason]:
    managers = [user for user in users if user.role == Role.PARTNER_MANAGER]
    for partner in partners:
        if partner.status != PartnerStatus.ACTIVE or partner.relationship_health >= POOR_HEALTH:
            continue
        yield _Reason(
            "partner_health_low",
            EntityType.PARTNER,
            partner.id,
            rng.choice(managers).id,
            f"Partner health low: {partner.name} ({partner.relationship_health} of 100)",
            f"The relationship with {partner.name} is below {POOR_HEALTH}. "
            "Plan a review with the primary contact.",
            Priority.HIGH,
            in_working_hours(rng, days_before(tenant.as_of, rng.randrange(1, 15))),
        )


def _goals_at_risk(
    rng: Dice, tenant: Tenant, users: Sequence[UserRow], goals: Sequence[GoalRow]
) -> Iterator[_Reason]:
    full_names = {user.id: f"{user.first_name} {user.last_name}" for user in users}
    elapsed = tenant.quarter.elapsed(tenant.as_of)
    for goal in goals:
        quarter = YearQuarter(goal.year, goal.quarter)
        reached = float(goal.current_value / goal.target_value)
        running = quarter == tenant.quarter and goal.status == GoalStatus.ACTIVE
        if not running or elapsed - reached <= BEHIND_BY:
            continue
        who = full_names[goal.user_id] if goal.user_id else "the whole organization"
        yield _Reason(
            "goal_at_risk",
            EntityType.QUARTERLY_GOAL,
            goal.id,
            goal.user_id,
            f"Goal at risk: {quarter} {goal.goal_type.replace('_', ' ')} of {who}",
            f"{goal.current_value:,} of {goal.target_value:,} reached ({reached:.0%}), "
            f"with {elapsed:.0%} of the quarter over.",
            Priority.MEDIUM,
            in_working_hours(rng, days_before(tenant.as_of, 1)),
        )


def _alert(rng: Dice, tenant: Tenant, row_id: UUID, reason: _Reason) -> AlertRow:
    end = days_before(tenant.as_of, 1)
    days = (end - reason.triggered_at.date()).days
    status = _status(rng, reason, days)
    seen = reason.triggered_at + timedelta(days=rng.below(days // 2 + 1), minutes=5)
    done = seen + timedelta(days=rng.below(days // 2 + 1), minutes=5)
    return AlertRow(
        id=row_id,
        organization_id=tenant.organization_id,
        user_id=reason.user_id,
        alert_type=reason.alert_type,
        entity_type=reason.entity_type.value,
        entity_id=reason.entity_id,
        title=reason.title,
        message=reason.message,
        priority=reason.priority.value,
        status=status.value,
        triggered_at=reason.triggered_at,
        acknowledged_at=None if status is AlertStatus.PENDING else seen,
        resolved_at=done if status is AlertStatus.RESOLVED else None,
    )


def _status(rng: Dice, reason: _Reason, days: int) -> AlertStatus:
    """Return the status: good news is resolved, problems are at most acknowledged."""
    if reason.priority is Priority.LOW:
        return AlertStatus.RESOLVED
    return AlertStatus.ACKNOWLEDGED if rng.below(10) < min(days, 6) else AlertStatus.PENDING
