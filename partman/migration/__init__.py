"""What a migration run guarantees."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partman.migration.runner.manager import MigrationManager

__all__ = ["MigrationManager"]


def __getattr__(name: str) -> Any:
    """Import the MigrationManager, and with it Piccolo, only for those who ask for it."""
    if name == "MigrationManager":
        from partman.migration.runner.manager import MigrationManager

        return MigrationManager
    raise AttributeError(name)
