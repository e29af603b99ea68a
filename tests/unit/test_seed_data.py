"""The development data: what is true of its rows before any database has seen them."""

import os
import re
import subprocess
import sys
import uuid
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from piccolo.columns import Varchar

from partman import tables
from seeds import names
from seeds.generate import SeedPlan, generate
from seeds.identity import FIRST_ID, LAST_ID, MAX_NUMBER, MAX_SEED, is_seeded, seed_of, seeded_id
from seeds.rows import ROW_TYPES
from tests.support import ROOT
from tests.unit.seed_plans import (
    AS_OF,
    DEFAULT,
    PLANS,
    all_rows,
    every_plan,
    everything,
    organizations,
)


def test_every_table_and_every_column_is_seeded() -> None:
    columns = {
        table._meta.tablename: {column._meta.db_column_name for column in table._meta.columns}
        for table in tables.TABLES
    }
    assert {name: set(row._fields) for name, row in ROW_TYPES.items()} == columns


def test_a_new_generator_does_not_change_existing_ids() -> None:
    for position, table in enumerate(
        ("organizations", "users", "partners", "opportunities", "quarterly_goals", "alerts"), 1
    ):
        ours = f"5eed5eed-5eed-8{position:03x}-8001-000002000003"
        assert str(seeded_id(table, 1, 2, 3)) == ours


@every_plan
def test_values_fit_their_columns(plan: SeedPlan) -> None:
    for table in tables.TABLES:
        for row in all_rows(plan, table._meta.tablename):
            for column in table._meta.columns:
                value = getattr(row, column._meta.db_column_name)
                if value is None:
                    assert column._meta.null, column
                    continue
                if column._meta.choices is not None:
                    assert value in {choice.value for choice in column._meta.choices}
                if isinstance(column, Varchar):
                    assert len(value) <= (column.length or 0), column


@every_plan
def test_numbers_are_within_their_ranges(plan: SeedPlan) -> None:
    for partner in all_rows(plan, "partners"):
        assert 0 <= partner.relationship_health <= 100
    for deal in all_rows(plan, "opportunities"):
        assert deal.deal_value > 0
        assert deal.deal_value == deal.deal_value.quantize(Decimal("0.01"))
        assert re.fullmatch("[A-Z]{3}", deal.currency)
    for goal in all_rows(plan, "quarterly_goals"):
        assert goal.quarter in {1, 2, 3, 4}
        assert goal.target_value > 0
        assert goal.current_value >= 0
        assert re.fullmatch("[A-Z]{3}", goal.currency)


def test_the_same_plan_gives_the_same_rows_in_every_process() -> None:
    program = (
        "import datetime, hashlib; from seeds.generate import *;"
        "plan = SeedPlan(7, datetime.date(2026, 11, 22), 3, 200);"
        "print(hashlib.sha256(repr(list(generate(plan))).encode()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed, zone in [("1", "UTC"), ("2", "Pacific/Auckland")]
    ]
    assert digests[0] == digests[1]
    assert re.fullmatch(r"[0-9a-f]{64}\n", digests[0])


def test_another_seed_gives_other_rows_under_other_ids() -> None:
    one, other = SeedPlan(1, AS_OF, 2, 50), SeedPlan(2, AS_OF, 2, 50)
    ids = [{row.id for row in everything(plan)} for plan in (one, other)]
    assert ids[0].isdisjoint(ids[1])
    values = [[row.deal_value for row in all_rows(plan, "opportunities")] for plan in (one, other)]
    assert values[0] != values[1]


def test_another_day_moves_the_dates_and_keeps_the_deals() -> None:
    one, later = (
        all_rows(SeedPlan(1, day, 1, 50), "opportunities") for day in (AS_OF, date(2026, 11, 29))
    )
    same = ("id", "customer_name", "deal_value", "currency", "stage", "partner_id")
    for deal, moved in zip(one, later, strict=True):
        assert all(getattr(deal, name) == getattr(moved, name) for name in same)
        assert (moved.expected_close_date - deal.expected_close_date).days == 7


@every_plan
def test_ids_are_unique_and_tell_their_seed(plan: SeedPlan) -> None:
    ids = [row.id for row in everything(plan)]
    assert len(ids) == len(set(ids))
    for row_id in ids:
        assert is_seeded(row_id)
        assert row_id.version == 8
        assert row_id.variant == uuid.RFC_4122
        assert seed_of(row_id) == plan.seed


def test_no_id_that_the_database_makes_looks_seeded() -> None:
    closest = [uuid.UUID(int=edge.int & ~(0xF << 76) | 4 << 76) for edge in (FIRST_ID, LAST_ID)]
    assert [made.version for made in closest] == [4, 4]
    assert not any(is_seeded(made) for made in closest)


def test_the_largest_numbers_have_room_in_an_id_and_larger_ones_are_refused() -> None:
    assert is_seeded(seeded_id("alerts", MAX_SEED, MAX_NUMBER, MAX_NUMBER))
    for numbers in [(MAX_SEED + 1, 0, 0), (0, MAX_NUMBER + 1, 0), (0, 0, MAX_NUMBER + 1)]:
        with pytest.raises(ValueError, match="does not fit"):
            seeded_id("alerts", *numbers)


@every_plan
def test_references_stay_within_the_organization(plan: SeedPlan) -> None:
    for organization in organizations(plan):
        (organization_id,) = {row.organization_id for row in organization.users}
        users = {user.id for user in organization.users}
        partners = {partner.id for partner in organization.partners}
        rows = [row for table in list(ROW_TYPES)[1:] for row in organization.of(table)]
        assert {row._asdict()["organization_id"] for row in rows} == {organization_id}
        assert {deal.partner_id for deal in organization.opportunities} <= partners
        assert {deal.assigned_user_id for deal in organization.opportunities} <= users | {None}
        assert {goal.user_id for goal in organization.quarterly_goals} <= users | {None}
        assert {alert.user_id for alert in organization.alerts} <= users | {None}


def test_the_first_organization_is_the_default_one_if_there_is_one() -> None:
    first, second = organizations(SeedPlan(1, AS_OF, 2, 20, DEFAULT))
    assert first.organizations == ()
    assert {user.organization_id for user in first.users} == {DEFAULT}
    assert [row.id for row in second.organizations] == [second.users[0].organization_id]

    first, second = organizations(SeedPlan(1, AS_OF, 2, 20, None))
    assert [row.id for row in first.organizations] == [first.users[0].organization_id]


def test_datadog_and_lacework_are_partners_of_the_default_organization() -> None:
    default = organizations(PLANS[0])[0]
    partners = {
        partner.name: (partner.domain, partner.commission_structure) for partner in default.partners
    }
    assert partners["DataDog"] == ("observability", '{"type":"reseller","rate":30}')
    assert partners["Lacework"] == ("security", '{"type":"referral","rate":15}')


@every_plan
def test_people_and_organizations_have_names_of_their_own(plan: SeedPlan) -> None:
    emails = Counter((user.organization_id, user.email) for user in all_rows(plan, "users"))
    assert set(emails.values()) == {1}
    assert all(email.endswith(".example") for _, email in emails)


def test_a_thousand_organizations_have_a_thousand_subdomains() -> None:
    subdomains = {names.subdomain(names.organization(number)) for number in range(1000)}
    assert len(subdomains) == 1000
    assert all(re.fullmatch(r"[a-z0-9-]{1,63}", subdomain) for subdomain in subdomains)


@every_plan
def test_nobody_can_sign_in(plan: SeedPlan) -> None:
    assert {user.password_hash for user in all_rows(plan, "users")} == {"!"}


@pytest.mark.parametrize(("count", "opportunities"), [(1, 0), (3, 2), (7, 100)])
def test_opportunities_are_spread_evenly(count: int, opportunities: int) -> None:
    spread = [
        len(rows.opportunities) for rows in generate(SeedPlan(1, AS_OF, count, opportunities))
    ]
    assert len(spread) == count
    assert sum(spread) == opportunities
    assert max(spread) - min(spread) <= 1
