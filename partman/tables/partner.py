"""Partners: the companies that an organization sells with."""

from enum import StrEnum

from piccolo.columns import JSONB, UUID, ForeignKey, Integer, OnDelete, OnUpdate, Timestamptz
from piccolo.table import Table

from partman.tables.columns import Now, Varchar
from partman.tables.organization import Organization


class PartnerStatus(StrEnum):
    """Where the partnership stands."""

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


class Partner(Table, tablename="partners"):
    """A company that an organization sells with, and what it earns from that."""

    id = UUID(primary_key=True)
    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name="organization_id",
    )
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
