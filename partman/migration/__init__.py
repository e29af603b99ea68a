"""Migrations: running them, recording them, generating them, verifying them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partman.migration.runner.backfill import Pace
    from partman.migration.runner.manager import MigrationManager

__all__ = ["MigrationManager", "Pace"]


def __getattr__(name: str) -> Any:
    """Import MigrationManager, and with it Piccolo, on first use."""
    if name == "Pace":
        from partman.migration.runner.backfill import Pace

        return Pace
    if name == "MigrationManager":
        from partman.migration.runner.manager import MigrationManager

        return MigrationManager
    raise AttributeError(name)
