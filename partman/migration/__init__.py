"""What a migration run guarantees."""

from partman.migration.manager import MigrationManager

__all__ = ["MigrationManager"]
