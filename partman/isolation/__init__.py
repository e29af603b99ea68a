"""Tenant isolation as a declaration: which tables belong to tenants, and which roles reach them."""

from partman.isolation.tenancy import Key, Roles, Tenancy

__all__ = ["Key", "Roles", "Tenancy"]
