"""Work on whole tenants, as the operator: create, deactivate, delete, export, import."""

from partman.operator.deletion import RowCounts, count_rows, delete_tenant
from partman.operator.exporting import export_tenant
from partman.operator.importing import import_tenant
from partman.operator.lifecycle import (
    TenantSummary,
    create_tenant,
    find_tenant,
    list_tenants,
    set_active,
)
from partman.operator.reports import reports
from partman.operator.tenants_table import TenantsTable

__all__ = [
    "RowCounts",
    "TenantSummary",
    "TenantsTable",
    "count_rows",
    "create_tenant",
    "delete_tenant",
    "export_tenant",
    "find_tenant",
    "import_tenant",
    "list_tenants",
    "reports",
    "set_active",
]
