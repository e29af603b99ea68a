"""Quarterly goals of a person or of the whole organization."""

from decimal import Decimal
from enum import IntEnum, StrEnum

from piccolo.columns import Integer, OnDelete, OnUpdate, Timestamptz
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.tables.columns import Now, Numeric, TenantReference, Varchar
from partman.tables.tenant import TenantTable
from partman.tables.user import User


class Quarter(IntEnum):
    """A quarter of the calendar year."""

    Q1 = 1
    Q2 = 2
    Q3 = 3
    Q4 = 4


class GoalType(StrEnum):
    """The measured quantity."""

    REVENUE = "revenue"
    DEALS_WON = "deals_won"
    COMMISSION = "commission"


class GoalStatus(StrEnum):
    """Whether the goal is active, achieved or missed."""

    ACTIVE = "active"
    ACHIEVED = "achieved"
    MISSED = "missed"


class QuarterlyGoal(TenantTable, Table, tablename="quarterly_goals"):
    """A target for one quarter; without a user it belongs to the whole organization."""

    user = TenantReference(
        User,
        on_delete=OnDelete.cascade,
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

    # Without nulls_distinct=False, the whole organization could have the same goal twice.
    quarterly_goals_scope_key = Unique(
        ["organization_id", "user_id", "quarter", "year", "goal_type"], nulls_distinct=False
    )
    quarterly_goals_quarter_range = Check("quarter BETWEEN 1 AND 4")
    quarterly_goals_target_value_not_negative = Check("target_value >= 0")
    quarterly_goals_current_value_not_negative = Check("current_value >= 0")
    quarterly_goals_currency_is_iso = Check("currency ~ '^[A-Z]{3}$'")
