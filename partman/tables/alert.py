"""Alerts: rows that need a person's attention."""

from enum import StrEnum
from typing import ClassVar

from piccolo.columns import UUID, OnDelete, OnUpdate, Text, Timestamptz
from piccolo.table import Table

from partman.tables.columns import Now, TenantReference, Varchar
from partman.tables.tenant import TenantTable
from partman.tables.user import User


class EntityType(StrEnum):
    """The kind of row that ``entity_id`` refers to."""

    PARTNER = "partner"
    OPPORTUNITY = "opportunity"
    QUARTERLY_GOAL = "quarterly_goal"


class Priority(StrEnum):
    """How urgent the alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    """Whether the alert is pending, acknowledged or resolved."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Alert(TenantTable, Table, tablename="alerts"):
    """A notice about a partner, an opportunity or a goal."""

    user = TenantReference(
        User,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="user_id",
    )
    alert_type = Varchar(length=100, default=None, null=False)
    entity_type = Varchar(length=100, default=None, null=False, choices=EntityType)
    entity_id = UUID(default=None, null=True)
    title = Varchar(length=500, default=None, null=False)
    message = Text(default=None, null=False)
    priority = Varchar(length=20, default=Priority.MEDIUM, null=True, choices=Priority)
    status = Varchar(length=20, default=AlertStatus.PENDING, null=True, choices=AlertStatus)
    triggered_at = Timestamptz(default=Now(), null=True)
    acknowledged_at = Timestamptz(default=None, null=True)
    resolved_at = Timestamptz(default=None, null=True)

    personal: ClassVar = {"title": "text", "message": "text"}

    extras = ("CREATE INDEX idx_alerts_user_status ON alerts (organization_id, user_id, status)",)
