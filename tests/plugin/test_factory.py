"""The factory satisfies what a database asks of a row, in any project."""

import pytest
from piccolo.columns import (
    JSONB,
    UUID,
    Array,
    BigInt,
    Boolean,
    Bytea,
    Date,
    DoublePrecision,
    Email,
    Integer,
    Interval,
    Numeric,
    Real,
    SmallInt,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Varchar,
)
from piccolo.constraints import Check
from piccolo.table import Table

from partman.settings import Settings
from partman.tables import Opportunity, Organization, Partner, QuarterlyGoal
from partman.tables.quarterly_goal import GoalType, Quarter
from partman.testing import Factory, MigratedDatabase, RowNotMadeError
from partman.testing.database import connects_as_owner
from tests.foreign.conftest import OpenShop
from tests.plugin.test_fixtures import EnterTenant


class Sample(Table, tablename="samples"):
    """A required column of each kind, some with a check."""

    array = Array(base_column=Integer(), default=None, null=False)
    big = BigInt(default=None, null=False, unique=True)
    boolean = Boolean(default=None, null=False)
    bytea = Bytea(default=None, null=False)
    date = Date(default=None, null=False)
    double = DoublePrecision(default=None, null=False)
    email = Email(default=None, null=False, unique=True)
    above = Integer(default=None, null=False)
    below = Integer(default=None, null=False)
    interval = Interval(default=None, null=False)
    json = JSONB(default=None, null=False)
    share = Numeric(digits=(4, 3), default=None, null=False)
    amount = Numeric(digits=(15, 2), default=None, null=False)
    real = Real(default=None, null=False)
    small = SmallInt(default=None, null=False)
    text = Text(unique=True)
    time = Time(default=None, null=False)
    timestamp = Timestamp(default=None, null=False)
    timestamptz = Timestamptz(default=None, null=False)
    uuid = UUID(default=None, null=False)
    code = Varchar(length=3, default=None, null=False, unique=True)
    word = Varchar(length=10, default=None, null=False)
    closed = Boolean(default=False)
    closed_at = Timestamptz(default=None, null=True)
    low = Integer(default=None, null=False)
    high = Integer(default=None, null=False)
    ordered = Integer(default=5)

    above_check = Check("above > 100")
    below_check = Check("below < 0 AND below > -1000")
    share_check = Check("share BETWEEN 0 AND 1")
    code_check = Check("code ~ '^[A-Z]{3}$'")
    word_check = Check("word IN ('north', 'south')")
    email_check = Check("email ~ '.@.'")
    closed_check = Check("closed = (closed_at IS NULL)")
    order_check = Check("low < high")
    ordered_check = Check("ordered > high")


class Node(Table, tablename="nodes"):
    """No row of it can be the first."""

    text = Text()
    weight = Integer(default=None, null=False)
    impossible = Check("weight > 1 AND weight < 2")


async def test_values_of_every_kind_satisfy_types_checks_and_keys(
    partman_database: MigratedDatabase, make: Factory
) -> None:
    async with partman_database.as_owner():
        await Sample.create_table()
    rows = [await make(Sample) for _ in range(3)]
    assert len({row.code for row in rows}) == len({row.text for row in rows}) == 3
    assert all(row.low < row.high < row.ordered for row in rows)
    assert (await make(Sample, word="south", amount=7)).word == "south"


async def test_choices_are_used_and_keys_of_several_columns_stay_unique(make: Factory) -> None:
    organization = await make(Organization)
    goals = [await make(QuarterlyGoal, organization=organization) for _ in range(10)]
    assert {goal.goal_type for goal in goals} <= {each.value for each in GoalType}
    assert {goal.quarter for goal in goals} == {each.value for each in Quarter}


async def test_a_given_row_decides_the_tenant_and_is_not_made_again(make: Factory) -> None:
    partner = await make(Partner, name="Acme")
    deal = await make(Opportunity, partner=partner)
    async with make.database.as_owner():
        [stored] = await Opportunity.objects()
        assert await Partner.count() == 1
    assert (stored.id, stored.partner) == (deal.id, partner.id)
    assert stored.organization == partner.organization


async def test_what_it_cannot_make_is_told(
    partman_database: MigratedDatabase, make: Factory, as_tenant: EnterTenant
) -> None:
    with pytest.raises(RowNotMadeError, match=r"of Partner: it has no column nme.* No row was"):
        await make(Partner, nme="typo")
    with pytest.raises(RowNotMadeError, match="of Node: the database has no such table"):
        await make(Node)
    async with partman_database.as_owner():
        await Node.create_table()
    with pytest.raises(RowNotMadeError, match="no value is known for weight, integer"):
        await make(Node)
    with pytest.raises(RowNotMadeError, match=r"CheckViolation.*currency"):
        await make(Opportunity, currency="euro"[:3])
    other = await make(Partner)
    with pytest.raises(RowNotMadeError, match="ForeignKeyViolation"):
        async with as_tenant():
            await make(Opportunity, partner=other)


async def test_makes_rows_of_any_tenancy(open_shop: OpenShop) -> None:
    settings = Settings.load({"DATABASE_URL": open_shop.database.url, "PARTMAN_ENV": "test"})
    make = Factory(
        MigratedDatabase(settings, open_shop.engine, connects_as_owner(settings), shapes={})
    )
    for table in open_shop.shop.tables:
        # Its first rows were inserted with IDs.
        await open_shop.as_owner(
            "SELECT setval(sequence::regclass, 100) FROM pg_get_serial_sequence($1, 'id') sequence"
            " WHERE sequence IS NOT NULL",
            table._meta.tablename,
        )
        name = table._meta.primary_key._meta.name
        assert len({getattr(await make(table), name) for _ in range(2)}) == 2
