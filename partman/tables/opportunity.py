"""Opportunities: deals that a partner introduces or helps to win."""

from enum import StrEnum
from typing import ClassVar

from piccolo.columns import JSONB, Date, Integer, OnDelete, OnUpdate, Text, Timestamptz
from piccolo.constraints import Check
from piccolo.table import Table

from partman.isolation import reports_extras
from partman.tables.columns import Now, Numeric, TenantReference, Varchar
from partman.tables.partner import Partner
from partman.tables.tenancy import TENANCY
from partman.tables.tenant import TenantTable
from partman.tables.user import User


class Stage(StrEnum):
    """The default pipeline. Organizations may configure other stages."""

    PROSPECTING = "prospecting"
    QUALIFICATION = "qualification"
    PROPOSAL = "proposal"
    NEGOTIATION = "negotiation"
    CLOSED_WON = "closed_won"
    CLOSED_LOST = "closed_lost"


class OpportunityStatus(StrEnum):
    """Whether the deal is open, won or lost."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Opportunity(TenantTable, Table, tablename="opportunities"):
    """A deal with a customer, credited to a partner."""

    partner = TenantReference(
        Partner,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name="partner_id",
    )
    assigned_user = TenantReference(
        User,
        on_delete=OnDelete.set_null,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="assigned_user_id",
    )
    customer_name = Varchar(length=255, default=None, null=False)
    customer_contact = JSONB(default={}, null=True)
    deal_value = Numeric(digits=(15, 2), default=None, null=False)
    currency = Varchar(length=3, default="USD", null=True)
    stage = Varchar(length=100, default=None, null=False, choices=Stage)
    probability = Integer(default=10, null=True)
    expected_close_date = Date(default=None, null=False)
    actual_close_date = Date(default=None, null=True)
    commission_details = JSONB(default={}, null=True)
    notes = Text(default=None, null=True)
    attachments = JSONB(default=[], null=True)
    status = Varchar(
        length=50, default=OpportunityStatus.OPEN, null=True, choices=OpportunityStatus
    )
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)

    opportunities_deal_value_not_negative = Check("deal_value >= 0")
    opportunities_currency_is_iso = Check("currency ~ '^[A-Z]{3}$'")
    opportunities_probability_range = Check("probability BETWEEN 0 AND 100")

    personal: ClassVar = {"customer_name": "name", "customer_contact": "json", "notes": "text"}

    extras = (
        *reports_extras(
            TENANCY,
            "opportunities",
            ("organization_id", "currency", "stage", "status", "deal_value"),
        ),
        "CREATE INDEX idx_opportunities_org_stage ON opportunities (organization_id, stage)",
        "CREATE INDEX idx_opportunities_partner ON opportunities (organization_id, partner_id)",
        "CREATE INDEX idx_opportunities_assigned_user\n"
        "ON opportunities (organization_id, assigned_user_id)",
    )
