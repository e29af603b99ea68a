"""``tenant()``: a block that reaches the rows of one tenant."""

from partman.tenant.block import current_tenant, tenant
from partman.tenant.each import TenantFailure, TenantsReport, for_each_tenant
from partman.tenant.listing import all_tenants
from partman.tenant.shards import shard_count
from partman.tenant.synchronous import tenant_sync
from partman.tenant.tenant_id import TenantId

__all__ = [
    "TenantFailure",
    "TenantId",
    "TenantsReport",
    "all_tenants",
    "current_tenant",
    "for_each_tenant",
    "shard_count",
    "tenant",
    "tenant_sync",
]
