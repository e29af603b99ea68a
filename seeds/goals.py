"""Quarterly goals, and the progress from won deals."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from partman.tables.opportunity import OpportunityStatus
from partman.tables.quarterly_goal import GoalStatus, GoalType
from seeds.calendar import YearQuarter, days_before, in_working_hours
from seeds.dice import Dice
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
_GAINS = (GoalType.REVENUE, GoalType.DEALS_WON, GoalType.COMMISSION)


class WonResults:
    """The won results in a currency, by owner, quarter and measure.

    A deal counts in the quarter in which it was closed, for the assigned user and for the
    organization. Deals in another currency count for no goal, not even as a won deal: a goal has
    one currency, and nothing is converted.
    """

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._sums: dict[tuple[Holder, YearQuarter], list[Decimal]] = defaultdict(
            lambda: [Decimal(0)] * len(_GAINS)
        )

    def add(self, opportunities: Sequence[OpportunityRow]) -> None:
        """Count those deals, too."""
        won = OpportunityStatus.WON.value
        for deal in opportunities:
            if deal.status != won or deal.currency != self._currency:
                continue
            assert deal.actual_close_date is not None
            quarter = YearQuarter.of(deal.actual_close_date)
            commission = Decimal(json.loads(deal.commission_details)["amount"])
            for holder in {None, deal.assigned_user_id}:
                sums = self._sums[holder, quarter]
                sums[0] += deal.deal_value
                sums[1] += 1
                sums[2] += commission

    def of(self, holder: Holder, quarter: YearQuarter, goal_type: GoalType) -> Decimal:
        """Return what was won."""
        sums = self._sums.get((holder, quarter))
        return sums[_GAINS.index(goal_type)] if sums else Decimal(0)


def make_goals(
    rng: Dice,
    tenant: Tenant,
    representatives: Sequence[UserRow],
    results: WonResults,
) -> tuple[GoalRow, ...]:
    """Return the goals of the organization and of its representatives."""
    return tuple(
        _goal(rng, tenant, number, key, results)
        for number, key in enumerate(_goals_to_set(tenant, representatives))
    )


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
    rng: Dice,
    tenant: Tenant,
    number: int,
    key: tuple[Holder, YearQuarter, GoalType],
    results: WonResults,
) -> GoalRow:
    holder, quarter, goal_type = key
    current = results.of(*key)
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
    rng: Dice, tenant: Tenant, holder: Holder, goal_type: GoalType, results: WonResults
) -> Decimal:
    """Return a target somewhat below or above the average of the past quarters."""
    measure = MEASURES[goal_type]
    past = [tenant.quarter.shifted(-back) for back in range(1, PAST_QUARTERS + 1)]
    total = sum((results.of(holder, quarter, goal_type) for quarter in past), Decimal(0))
    wanted = total / PAST_QUARTERS * rng.randrange(75, 126) / 100
    steps = -(-wanted // measure.step)
    return max(steps * measure.step, Decimal(measure.least))


def _status(quarter: YearQuarter, tenant: Tenant, current: Decimal, target: Decimal) -> GoalStatus:
    if current >= target:
        return GoalStatus.ACHIEVED
    return GoalStatus.MISSED if quarter < tenant.quarter else GoalStatus.ACTIVE
