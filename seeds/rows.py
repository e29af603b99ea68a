"""Database rows: one field for each column, with the column's name.

They are tuples, because COPY takes tuples. JSON columns hold text, so a row never changes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID


class OrganizationRow(NamedTuple):
    """A row of ``organizations``."""

    id: UUID
    name: str
    subdomain: str
    settings: str
    is_active: bool
    subscription_tier: str
    max_users: int
    created_at: datetime
    updated_at: datetime


class UserRow(NamedTuple):
    """A row of ``users``."""

    id: UUID
    organization_id: UUID
    email: str
    password_hash: str
    first_name: str
    last_name: str
    role: str
    permissions: str
    personal_settings: str
    last_login_at: datetime | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class PartnerRow(NamedTuple):
    """A row of ``partners``."""

    id: UUID
    organization_id: UUID
    name: str
    domain: str
    website: str
    commission_structure: str
    relationship_health: int
    primary_contact: str
    agreement_details: str
    status: str
    created_at: datetime
    updated_at: datetime


class OpportunityRow(NamedTuple):
    """A row of ``opportunities``."""

    id: UUID
    organization_id: UUID
    partner_id: UUID
    assigned_user_id: UUID | None
    customer_name: str
    customer_contact: str
    deal_value: Decimal
    currency: str
    stage: str
    probability: int
    expected_close_date: date
    actual_close_date: date | None
    commission_details: str
    notes: str | None
    attachments: str
    status: str
    created_at: datetime
    updated_at: datetime


class GoalRow(NamedTuple):
    """A row of ``quarterly_goals``."""

    id: UUID
    organization_id: UUID
    user_id: UUID | None
    quarter: int
    year: int
    goal_type: str
    target_value: Decimal
    current_value: Decimal
    currency: str
    status: str
    created_at: datetime
    updated_at: datetime


class AlertRow(NamedTuple):
    """A row of ``alerts``."""

    id: UUID
    organization_id: UUID
    user_id: UUID | None
    alert_type: str
    entity_type: str
    entity_id: UUID
    title: str
    message: str
    priority: str
    status: str
    triggered_at: datetime
    acknowledged_at: datetime | None
    resolved_at: datetime | None


Row = OrganizationRow | UserRow | PartnerRow | OpportunityRow | GoalRow | AlertRow

ROW_TYPES: Mapping[str, type[Row]] = {
    "organizations": OrganizationRow,
    "users": UserRow,
    "partners": PartnerRow,
    "opportunities": OpportunityRow,
    "quarterly_goals": GoalRow,
    "alerts": AlertRow,
}
"""The generated row types. Append new ones, because row IDs contain their position."""


@dataclass(frozen=True)
class OrganizationRows:
    """Rows of one organization; the default organization's own row is not seeded."""

    organizations: tuple[OrganizationRow, ...] = ()
    users: tuple[UserRow, ...] = ()
    partners: tuple[PartnerRow, ...] = ()
    opportunities: tuple[OpportunityRow, ...] = ()
    quarterly_goals: tuple[GoalRow, ...] = ()
    alerts: tuple[AlertRow, ...] = ()

    @classmethod
    def joined(cls, portions: "Sequence[OrganizationRows]") -> "OrganizationRows":
        """Return the rows of all portions of an organization."""
        rows: dict[str, Any] = {
            table: tuple(chain.from_iterable(each.of(table) for each in portions))
            for table in ROW_TYPES
        }
        return cls(**rows)

    def of(self, table: str) -> tuple[Row, ...]:
        """Return the rows of one of ROW_TYPES."""
        rows: tuple[Row, ...] = getattr(self, table)
        return rows


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(value: Mapping[str, Any] | list[Mapping[str, Any]]) -> str:
    """Return the text of a JSON column. Keys keep their order."""
    return _ENCODER.encode(value)
