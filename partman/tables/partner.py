"""Partners: the companies with which an organization sells."""

from enum import StrEnum
from typing import ClassVar

from piccolo.columns import JSONB, Integer, Timestamptz
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.isolation import reports_extras
from partman.tables.columns import Now, Varchar
from partman.tables.tenancy import TENANCY
from partman.tables.tenant import TenantTable


class PartnerStatus(StrEnum):
    """The state of the partnership."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    PENDING = "pending"
    TERMINATED = "terminated"


class CommissionType(StrEnum):
    """The ``type`` in a partner's ``commission_structure``."""

    RESELLER = "reseller"
    REFERRAL = "referral"
    REVENUE_SHARE = "revenue_share"
    TIERED = "tiered"
    FLAT_FEE = "flat_fee"


class Partner(TenantTable, Table, tablename="partners"):
    """A company with which an organization sells, and its commission."""

    name = Varchar(length=255, default=None, null=False)
    domain = Varchar(length=100, default=None, null=False)
    website = Varchar(length=500, default=None, null=True)
    commission_structure = JSONB(default=None, null=False)
    relationship_health = Integer(default=50, null=True)
    primary_contact = JSONB(default={}, null=True)
    agreement_details = JSONB(default={}, null=True)
    status = Varchar(length=50, default=PartnerStatus.ACTIVE, null=True, choices=PartnerStatus)
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)

    partners_organization_id_id_key = Unique(["organization_id", "id"])
    partners_relationship_health_range = Check("relationship_health BETWEEN 0 AND 100")

    personal: ClassVar = {"name": "name", "website": "url", "primary_contact": "json"}

    extras = (
        "CREATE INDEX idx_partners_org_domain ON partners (organization_id, domain)",
        *reports_extras(TENANCY, "partners", ("organization_id",)),
    )
