"""What identifies a migration."""

from collections.abc import Iterable
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


def schema_version(migrations: Iterable[MigrationKey], *, apps: int) -> str | None:
    """Return the ID of the newest migration; None without migrations.

    ``apps`` is how many apps there are. Where it is several, each is named with its newest, as in
    "blog 2026-01-01, shop 2026-02-01": one ID would say nothing of the other apps.
    """
    newest: dict[str, str] = {}
    for app, migration in migrations:
        newest[app] = max(migration, newest.get(app, ""))
    named = [f"{app} {migration}" if apps > 1 else migration for app, migration in newest.items()]
    return ", ".join(named) or None
