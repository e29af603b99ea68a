"""The development data: its deals, goals and alerts tell one story."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from partman.tables.opportunity import Stage
from partman.tables.partner import CommissionType
from seeds import names
from seeds.commission import details, details_json
from seeds.generate import SeedPlan
from seeds.rows import GoalRow, OpportunityRow, to_json
from tests.unit.seed_plans import AS_OF, all_rows, every_plan, everything, organizations


@every_plan
def test_every_organization_has_deals_of_every_stage_and_commission_type(plan: SeedPlan) -> None:
    for organization in organizations(plan):
        stages = {deal.stage for deal in organization.opportunities}
        types = {json.loads(deal.commission_details)["type"] for deal in organization.opportunities}
        assert stages == {stage.value for stage in Stage}
        assert types == {kind.value for kind in CommissionType}


@every_plan
def test_deals_are_in_several_currencies_and_quarters(plan: SeedPlan) -> None:
    deals = all_rows(plan, "opportunities")
    closed = {deal.actual_close_date for deal in deals if deal.actual_close_date}
    assert {deal.currency for deal in deals} == set(names.CURRENCIES)
    assert len({(day.year, (day.month - 1) // 3) for day in closed}) >= 4


@pytest.mark.parametrize(
    ("structure", "deal_value", "rate", "amount"),
    [
        ({"type": "reseller", "rate": 30}, "1000.00", 30, "300.00"),
        ({"type": "reseller", "rate": 30}, "333.35", 30, "100.01"),  # 100.005, half to even: .00
        ({"type": "referral", "rate": 15}, "0.03", 15, "0.00"),  # 0.0045
        ({"type": "referral", "rate": 15}, "0.10", 15, "0.02"),  # 0.015
        ({"type": "revenue_share", "rate": 12, "months": 12}, "99.99", 12, "12.00"),
        ({"type": "tiered", "tiers": names._TIERS}, "49999.99", 8, "4000.00"),
        ({"type": "tiered", "tiers": names._TIERS}, "50000.00", 12, "6000.00"),
        ({"type": "tiered", "tiers": names._TIERS}, "250000.00", 15, "37500.00"),
        ({"type": "flat_fee", "fees": {"EUR": "1400.00"}}, "99.00", None, "1400.00"),
    ],
)
def test_a_commission_is_the_rate_of_the_deal_rounded_half_up(
    structure: dict[str, Any], deal_value: str, rate: int | None, amount: str
) -> None:
    found = details(structure, Decimal(deal_value), "EUR", "projected")
    assert (found.get("rate"), found["amount"], found["currency"]) == (rate, amount, "EUR")
    assert found["type"] == structure["type"]
    text = details_json(to_json(structure), Decimal(deal_value), "EUR", "projected")
    assert text == to_json(found)


@every_plan
def test_commission_details_add_up(plan: SeedPlan) -> None:
    structures = {
        partner.id: json.loads(partner.commission_structure)
        for partner in all_rows(plan, "partners")
    }
    for deal in all_rows(plan, "opportunities"):
        structure, found = structures[deal.partner_id], json.loads(deal.commission_details)
        assert found["type"] == structure["type"]
        assert found["currency"] == deal.currency
        if structure["type"] == "flat_fee":
            expected = Decimal(structure["fees"][deal.currency])
        else:
            rate = structure.get("rate")
            for tier in structure.get("tiers", []):
                rate = tier["rate"] if deal.deal_value >= Decimal(tier["from"]) else rate
            assert found["rate"] == rate
            exact = deal.deal_value * Decimal(rate) / Decimal(100)
            expected = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert Decimal(found["amount"]) == expected


@every_plan
def test_the_stage_decides_status_probability_and_close_date(plan: SeedPlan) -> None:
    for deal in all_rows(plan, "opportunities"):
        payout = json.loads(deal.commission_details)["payout"]
        if deal.stage == Stage.CLOSED_WON:
            assert (deal.status, deal.probability) == ("won", 100)
            assert payout in {"due", "paid"}
        elif deal.stage == Stage.CLOSED_LOST:
            assert (deal.status, deal.probability, payout) == ("lost", 0, "void")
        else:
            assert (deal.status, payout) == ("open", "projected")
            assert 0 < deal.probability < 100
        assert (deal.actual_close_date is None) == (deal.status == "open")
        if deal.actual_close_date:
            assert deal.created_at.date() < deal.actual_close_date < plan.as_of
            assert deal.updated_at.date() == deal.actual_close_date


@every_plan
def test_nothing_has_happened_on_the_day_or_after_it(plan: SeedPlan) -> None:
    day = datetime.combine(plan.as_of, time(), UTC)
    for row in everything(plan):
        moments = [value for value in row if isinstance(value, datetime)]
        assert moments
        assert max(moments) < day
        if hasattr(row, "updated_at"):
            assert row.created_at <= row.updated_at
    people = {user.id: user for user in all_rows(plan, "users")}
    partners = {partner.id: partner for partner in all_rows(plan, "partners")}
    for deal in all_rows(plan, "opportunities"):
        assert deal.created_at > partners[deal.partner_id].created_at
        assert partners[deal.partner_id].status == "active"
        if deal.assigned_user_id:
            assert deal.created_at > people[deal.assigned_user_id].created_at
            assert people[deal.assigned_user_id].is_active


def won_in(goal: GoalRow, deals: Iterable[OpportunityRow]) -> list[OpportunityRow]:
    return [
        deal
        for deal in deals
        if deal.status == "won"
        and deal.actual_close_date is not None
        and (deal.actual_close_date.year, (deal.actual_close_date.month + 2) // 3)
        == (goal.year, goal.quarter)
        and deal.currency == goal.currency
        and goal.user_id in {None, deal.assigned_user_id}
    ]


@every_plan
def test_goals_are_as_far_as_the_won_deals_brought_them(plan: SeedPlan) -> None:
    reached = Counter[str]()
    for organization in organizations(plan):
        for goal in organization.quarterly_goals:
            won = won_in(goal, organization.opportunities)
            expected = {
                "revenue": sum(deal.deal_value for deal in won),
                "deals_won": len(won),
                "commission": sum(
                    Decimal(json.loads(deal.commission_details)["amount"]) for deal in won
                ),
            }[goal.goal_type]
            assert goal.current_value == expected
            reached[goal.goal_type] += goal.current_value > 0
    assert set(reached) == {"revenue", "deals_won", "commission"}
    assert min(reached.values()) > 0


@every_plan
def test_the_status_of_a_goal_follows(plan: SeedPlan) -> None:
    running = (plan.as_of.year, (plan.as_of.month + 2) // 3)
    goals = all_rows(plan, "quarterly_goals")
    for goal in goals:
        if goal.current_value >= goal.target_value:
            assert goal.status == "achieved"
        else:
            assert goal.status == ("missed" if (goal.year, goal.quarter) < running else "active")
    assert {goal.status for goal in goals} == {"achieved", "missed", "active"}


@every_plan
def test_no_two_goals_count_the_same(plan: SeedPlan) -> None:
    keys = Counter(
        (goal.organization_id, goal.user_id, goal.year, goal.quarter, goal.goal_type)
        for goal in all_rows(plan, "quarterly_goals")
    )
    assert set(keys.values()) == {1}
    assert any(user_id is None for _, user_id, *_ in keys)


@every_plan
def test_alerts_point_at_rows_that_give_the_reason(plan: SeedPlan) -> None:
    kinds = set()
    for organization in organizations(plan):
        deals = {deal.id: deal for deal in organization.opportunities}
        partners = {partner.id: partner for partner in organization.partners}
        goals = {goal.id: goal for goal in organization.quarterly_goals}
        people = {user.id: f"{user.first_name} {user.last_name}" for user in organization.users}
        for alert in organization.alerts:
            kinds.add(alert.alert_type)
            match alert.alert_type, alert.entity_type:
                case "stalled_deal", "opportunity":
                    deal = deals[alert.entity_id]
                    assert deal.status == "open"
                    assert (plan.as_of - deal.updated_at.date()).days > 30
                    assert deal.customer_name in alert.title
                    assert alert.user_id == deal.assigned_user_id
                case "large_deal_won", "opportunity":
                    deal = deals[alert.entity_id]
                    assert deal.status == "won"
                    assert deal.deal_value >= 250_000
                    assert deal.customer_name in alert.title
                case "partner_health_low", "partner":
                    partner = partners[alert.entity_id]
                    assert partner.relationship_health < 40
                    assert partner.name in alert.title
                case "goal_at_risk", "quarterly_goal":
                    goal = goals[alert.entity_id]
                    assert goal.status == "active"
                    assert f"Q{goal.quarter} {goal.year}" in alert.title
                    who = people[goal.user_id] if goal.user_id else "the whole organization"
                    assert who in alert.title
                case unknown:
                    pytest.fail(f"an alert without a reason: {unknown}")
    assert {"stalled_deal", "large_deal_won", "partner_health_low"} <= kinds


def test_a_goal_that_lags_behind_the_calendar_is_at_risk() -> None:
    default_day, first_day = (
        {alert.alert_type for alert in all_rows(SeedPlan(1, day, 3, 300), "alerts")}
        for day in (AS_OF, date(2026, 10, 1))
    )
    assert "goal_at_risk" in default_day
    assert "goal_at_risk" not in first_day  # nothing can be late on a quarter's first day


@every_plan
def test_an_alert_is_seen_before_it_is_settled(plan: SeedPlan) -> None:
    for alert in all_rows(plan, "alerts"):
        steps = [alert.triggered_at, alert.acknowledged_at, alert.resolved_at]
        done = {"pending": 1, "acknowledged": 2, "resolved": 3}[alert.status]
        assert [step is not None for step in steps] == [position < done for position in range(3)]
        assert steps[:done] == sorted(steps[:done])
