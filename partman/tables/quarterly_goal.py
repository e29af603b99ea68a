"""Quarterly goals: what a person, or the whole organization, means to reach."""

from decimal import Decimal
from enum import IntEnum, StrEnum

from piccolo.columns import UUID, ForeignKey, Integer, OnDelete, OnUpdate, Timestamptz
from piccolo.constraints import Unique
from piccolo.table import Table

from partman.tables.columns import Now, Numeric, Varchar
from partman.tables.organization import Organization
from partman.tables.user import User


class Quarter(IntEnum):
    """A quarter of the calendar year."""

    Q1 = 1
    Q2 = 2
    Q3 = 3
    Q4 = 4


class GoalType(StrEnum):
    """What is counted."""

    REVENUE = "revenue"
    DEALS_WON = "deals_won"
    COMMISSION = "commission"


class GoalStatus(StrEnum):
    """Whether the goal still counts."""

    ACTIVE = "active"
    ACHIEVED = "achieved"
    MISSED = "missed"


class QuarterlyGoal(Table, tablename="quarterly_goals"):
    """A target for one quarter; of the whole organization when it has no user."""

    id = UUID(primary_key=True)
    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name="organization_id",
    )
    user = ForeignKey(
        User,
        on_delete=OnDelete.set_null,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="user_id",
    )
    quarter = Integer(default=None, null=False, choices=Quarter)
    year = Integer(default=None, null=False)
    goal_type = Varchar(length=100, default=None, null=False, choices=GoalType)
    target_value = Numeric(digits=(15, 2), default=None, null=False)
    current_value = Numeric(digits=(15, 2), default=Decimal(0), null=True)
    currency = Varchar(length=3, default="USD", null=True)
    status = Varchar(length=20, default=GoalStatus.ACTIVE, null=True, choices=GoalStatus)
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)

    # PostgreSQL made this name, cut at 63 bytes, for a constraint that was never given one.
    quarterly_goals_organization_id_user_id_quarter_year_goal_t_key = Unique(
        [organization, user, quarter, year, goal_type]
    )
