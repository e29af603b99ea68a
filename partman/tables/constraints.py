"""Constraints that Piccolo has no class for: migrations know them by this module's name."""

from partman.isolation import TenantForeignKey

__all__ = ["TenantForeignKey"]
