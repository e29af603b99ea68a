"""Organizations: the tenants."""

from enum import StrEnum

from piccolo.columns import JSONB, UUID, Boolean, Integer, Timestamptz
from piccolo.table import Table

from partman.tables.columns import Now, Varchar


class SubscriptionTier(StrEnum):
    """What the organization pays for."""

    BASIC = "basic"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Organization(Table, tablename="organizations"):
    """A tenant. Every row of the other tables belongs to one."""

    id = UUID(primary_key=True)
    name = Varchar(length=255, default=None, null=False)
    subdomain = Varchar(length=100, default=None, null=False, unique=True)
    settings = JSONB(default={}, null=True)
    is_active = Boolean(default=True, null=True)
    subscription_tier = Varchar(
        length=50, default=SubscriptionTier.BASIC, null=True, choices=SubscriptionTier
    )
    max_users = Integer(default=10, null=True)
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)
