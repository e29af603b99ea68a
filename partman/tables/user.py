"""Users: the people who sign in."""

from enum import StrEnum
from typing import ClassVar

from piccolo.columns import JSONB, Boolean, Timestamptz
from piccolo.constraints import Unique
from piccolo.table import Table

from partman.isolation import reports_extras
from partman.tables.columns import Now, Varchar
from partman.tables.tenancy import TENANCY
from partman.tables.tenant import TenantTable


class Role(StrEnum):
    """The role of a user in the organization."""

    SYSTEM_OWNER = "system_owner"
    ADMIN = "admin"
    PARTNER_MANAGER = "partner_manager"
    SALES_REP = "sales_rep"
    VIEWER = "viewer"


class User(TenantTable, Table, tablename="users"):
    """A person of one organization. An email address is unique within it."""

    email = Varchar(length=255, default=None, null=False)
    password_hash = Varchar(length=255, default=None, null=False, secret=True)
    first_name = Varchar(length=100, default=None, null=False)
    last_name = Varchar(length=100, default=None, null=False)
    role = Varchar(length=100, default=None, null=False, choices=Role)
    permissions = JSONB(default={}, null=True)
    personal_settings = JSONB(default={}, null=True)
    last_login_at = Timestamptz(default=None, null=True)
    is_active = Boolean(default=True, null=True)
    created_at = Timestamptz(default=Now(), null=True)
    updated_at = Timestamptz(default=Now(), null=True)

    idx_users_org_email = Unique(["organization_id", "email"])
    users_organization_id_id_key = Unique(["organization_id", "id"])

    personal: ClassVar = {
        "email": "email",
        "password_hash": "= masked",
        "first_name": "name",
        "last_name": "name",
    }

    extras = (*reports_extras(TENANCY, "users", ("organization_id", "is_active")),)
