"""Tenant isolation as a declaration: which tables belong to tenants, and which roles use them."""

from partman.isolation.references import TenantForeignKey, TenantReference
from partman.isolation.roles import database_extras
from partman.isolation.row_security import reports_extras, tenants_table_extras
from partman.isolation.tenancy import Key, Roles, Tenancy
from partman.isolation.tenant_table import TenantTable, check_registered

__all__ = [
    "Key",
    "Roles",
    "Tenancy",
    "TenantForeignKey",
    "TenantReference",
    "TenantTable",
    "check_registered",
    "database_extras",
    "reports_extras",
    "tenants_table_extras",
]
