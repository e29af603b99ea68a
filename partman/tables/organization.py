"""Organizations: the tenants."""

from enum import StrEnum
from typing import ClassVar

from piccolo.columns import JSONB, UUID, Boolean, Integer, Timestamptz
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.isolation import reports_extras, tenants_table_extras
from partman.tables import lookup
from partman.tables.columns import Now, Varchar
from partman.tables.functions import keeps_updated_at
from partman.tables.tenancy import TENANCY


class SubscriptionTier(StrEnum):
    """The subscription of the organization."""

    BASIC = "basic"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Organization(Table, tablename="organizations"):
    """A tenant. Each row of the other tables belongs to one."""

    id = UUID(primary_key=True)
    name = Varchar(length=255, default=None, null=False)
    subdomain = Varchar(length=100, default=None, null=False)
    settings = JSONB(default={}, null=True)
    is_active = Boolean(default=True, null=True)
    subscription_tier = Varchar(
        length=50, default=SubscriptionTier.BASIC, null=True, choices=SubscriptionTier
    )
    max_users = Integer(default=10, null=True)
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)

    idx_organizations_subdomain = Unique(["subdomain"])
    # A label of a host name, in lower case: the organization is reached by it.
    organizations_subdomain_is_host_label = Check(
        "subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'"
    )

    personal: ClassVar = {"name": "name"}

    extras = (
        # Not the subdomain: the error "already taken" would reveal other organizations.
        *tenants_table_extras(
            TENANCY,
            may_change=("name", "settings", "updated_at"),
            operator_may_change=("is_active",),
        ),
        *reports_extras(
            TENANCY,
            "organizations",
            ("id", "subdomain", "is_active", "subscription_tier", "created_at"),
        ),
        *lookup.RIGHTS,
        *keeps_updated_at("organizations", ["updated_at"]),
    )
