"""Quarterly goals, and the progress from won deals."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from uuid import UUID

from partman.tables.opportunity import OpportunityStatus
from partman.tables.quarterly_goal import GoalStatus, GoalType
from seeds.calendar import YearQuarter, days_before, in_working_hours
from seeds.rows import GoalRow, OpportunityRow, UserRow
from seeds.tenant import Tenant

PAST_QUARTERS = 3
"""Number of past quarters with goals; the current and the next one have them too."""


@dataclass(frozen=True)
class Measure:
    """How a type of goal is measured."""

    step: int
    """Targets are multiples of it."""
    least: int
    """The lowest target."""


MEASURES = {
    GoalType.REVENUE: Measure(step=5_000, least=10_000),
    GoalType.DEALS_WON: Measure(step=1, least=1),
    GoalType.COMMISSION: Measure(step=500, least=1_000),
}
PERSONAL = (GoalType.REVENUE, GoalType.DEALS_WON)
"""The goal types of a sales representative; the organization has one of every type."""

Holder = UUID | None
"""The owner of a goal: a user or the organization."""
Results = Mapping[tuple[Holder, YearQuarter, GoalType], Decimal]


def make_goals(
    rng: Random,
    tenant: Tenant,
    representatives: Sequence[UserRow],
    opportunities: Sequence[OpportunityRow],
) -> tuple[GoalRow, ...]:
    """Return the goals of the organization and of its representatives."""
    results = won_results(opportunities, tenant.currency)
    return tuple(
        _goal(rng, tenant, number, key, results)
        for number, key in enumerate(_goals_to_set(tenant, representatives))
    )


def won_results(opportunities: Sequence[OpportunityRow], currency: str) -> Results:
    """Return the won results in a currency, by owner, quarter and measure.

    A deal counts in the quarter in which it was closed, for the assigned user and for the
    organization. Deals in another currency count for no goal, not even as a won deal: a goal has
    one currency, and nothing is converted.
    """
    results: dict[tuple[Holder, YearQuarter, GoalType], Decimal] = defaultdict(Decimal)
    for deal in opportunities:
        if deal.status != OpportunityStatus.WON or deal.currency != currency:
            continue
        assert deal.actual_close_date is not None
        quarter = YearQuarter.of(deal.actual_close_date)
        gains = {
            GoalType.REVENUE: deal.deal_value,
            GoalType.DEALS_WON: Decimal(1),
            GoalType.COMMISSION: Decimal(json.loads(deal.commission_details)["amount"]),
        }
        for holder in {None, deal.assigned_user_id}:
            for goal_type, gain in gains.items():
                results[holder, quarter, goal_type] += gain
    return results


def _goals_to_set(
    tenant: Tenant, representatives: Sequence[UserRow]
) -> Iterator[tuple[Holder, YearQuarter, GoalType]]:
    for shift in range(-PAST_QUARTERS, 2):
        quarter = tenant.quarter.shifted(shift)
        for goal_type in GoalType:
            yield None, quarter, goal_type
        for user in representatives:
            for goal_type in PERSONAL:
                yield user.id, quarter, goal_type


def _goal(
    rng: Random,
    tenant: Tenant,
    number: int,
    key: tuple[Holder, YearQuarter, GoalType],
    results: Results,
) -> GoalRow:
    holder, quarter, goal_type = key
    current = results.get(key, Decimal(0))
    target = _target(rng, tenant, holder, goal_type, results)
    yesterday = days_before(tenant.as_of, 1)
    created = in_working_hours(rng, min(days_before(quarter.first_day, 10), yesterday))
    return GoalRow(
        id=tenant.row_id("quarterly_goals", number),
        organization_id=tenant.organization_id,
        user_id=holder,
        quarter=quarter.quarter,
        year=quarter.year,
        goal_type=goal_type.value,
        target_value=target,
        current_value=current,
        currency=tenant.currency,
        status=_status(quarter, tenant, current, target).value,
        created_at=created,
        updated_at=max(created, in_working_hours(rng, min(quarter.last_day, yesterday))),
    )


def _target(
    rng: Random, tenant: Tenant, holder: Holder, goal_type: GoalType, results: Results
) -> Decimal:
    """Return a target somewhat below or above the average of the past quarters."""
    measure = MEASURES[goal_type]
    past = [tenant.quarter.shifted(-back) for back in range(1, PAST_QUARTERS + 1)]
    total = sum(
        (results.get((holder, quarter, goal_type), Decimal(0)) for quarter in past), Decimal(0)
    )
    wanted = total / PAST_QUARTERS * rng.randrange(75, 126) / 100
    steps = -(-wanted // measure.step)
    return max(steps * measure.step, Decimal(measure.least))


def _status(quarter: YearQuarter, tenant: Tenant, current: Decimal, target: Decimal) -> GoalStatus:
    if current >= target:
        return GoalStatus.ACHIEVED
    return GoalStatus.MISSED if quarter < tenant.quarter else GoalStatus.ACTIVE
