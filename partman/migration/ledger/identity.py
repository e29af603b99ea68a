"""What identifies a migration."""

from typing import NamedTuple


class MigrationKey(NamedTuple):
    """A migration: its app, and its ID in the app."""

    app: str
    id: str


class DirectedMigration(NamedTuple):
    """A migration, and the direction in which it is run."""

    app: str
    id: str
    backwards: bool

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)
