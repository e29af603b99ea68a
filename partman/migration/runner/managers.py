"""The managers of migrations, as their files return them."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.apps.migrations.commands.base import BaseMigrationManager
from piccolo.conf.apps import AppConfig


def modules_of(app: AppConfig) -> dict[str, Any]:
    """Return the modules of an app's migrations, by ID."""
    folder = app.resolved_migrations_folder_path
    if not Path(folder).is_dir():
        return {}
    path = list(sys.path)
    try:
        return BaseMigrationManager().get_migration_modules(folder)
    finally:
        sys.path[:] = path


async def managers_of(modules: Iterable[Any]) -> list[MigrationManager]:
    """Return the managers that the modules return; some migrations have none."""
    returned = [await module.forwards() for module in modules]
    return [manager for manager in returned if isinstance(manager, MigrationManager)]
