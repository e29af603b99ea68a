"""``tenant()``: a block that reaches the rows of one tenant."""

from partman.tenant.block import current_tenant, tenant
from partman.tenant.tenant_id import TenantId

__all__ = ["TenantId", "current_tenant", "tenant"]
