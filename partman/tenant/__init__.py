"""``tenant()``: a block that reaches the rows of one tenant."""

from partman.tenant.block import current_organization, organization_for_subdomain, tenant

__all__ = ["current_organization", "organization_for_subdomain", "tenant"]
