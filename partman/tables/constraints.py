"""Constraints for which Piccolo has no class. Migrations import them from this module."""

from partman.isolation import TenantForeignKey

__all__ = ["TenantForeignKey"]
