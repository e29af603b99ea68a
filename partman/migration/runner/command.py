"""Find the Piccolo migration command that is calling the engine.

Piccolo does not tell its engine which command is running, so the call stack is searched for it.
That works in a shell and when called from code, in any thread or event loop, without a setting.
"""

import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from partman.migration.ledger.identity import DirectedMigration

_ENTRIES = frozenset(
    f"{command}.{method}"
    for command, methods in {
        "ForwardsMigrationManager": ("run", "run_migrations"),
        "BackwardsMigrationManager": ("run", "run_migrations_backwards"),
        "CheckMigrationManager": ("get_migration_statuses",),
    }.items()
    for method in methods
)
_LOOPS = {
    "ForwardsMigrationManager.run_migrations": "_id",
    "BackwardsMigrationManager.run_migrations_backwards": "migration_id",
}
"""What goes through an app's migrations, and in which variable it has the ID of one."""
_MODULES = "piccolo.apps.migrations.commands."


@dataclass(frozen=True)
class Command:
    """A Piccolo migration command in progress."""

    instance: Any
    """Piccolo's command object, which exists as long as the command runs."""
    app: str
    name: str
    """forwards, backwards or check."""
    writes: bool
    """False for a check and for a preview."""

    @property
    def title(self) -> str:
        """The command's name in messages and in ``pg_stat_activity``."""
        return f"{self.name} {self.app}"


def calling_command() -> Command | None:
    """Return the migration command in the call stack; None if there is none."""
    for frame in _callers():
        if frame.f_code.co_qualname in _ENTRIES and _is_piccolos(frame):
            instance = frame.f_locals["self"]
            name = str(frame.f_globals["__name__"]).removeprefix(_MODULES)
            writes = name != "check" and not instance.preview
            return Command(instance, instance.app_name, name, writes)
    return None


def running_migration() -> DirectedMigration | None:
    """Return the migration in the call stack, as the ledger names it; None if there is none.

    Its manager's own names are used only for a migration that is run outside a command: the
    manager that Piccolo's template creates has no app name.
    """
    manager, backwards = None, False
    for frame in _callers():
        name = frame.f_code.co_qualname
        if name == "MigrationManager.run":
            manager, backwards = frame.f_locals["self"], frame.f_locals["backwards"]
        elif manager is not None and name in _LOOPS and _is_piccolos(frame):
            app = frame.f_locals["app_config"].app_name
            return DirectedMigration(app, frame.f_locals[_LOOPS[name]], backwards)
    if manager is None:
        return None
    return DirectedMigration(manager.app_name, manager.migration_id, backwards)


def failed_migration(error: BaseException) -> DirectedMigration | None:
    """Return the migration whose function has raised an error; None if it was no migration's."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_qualname
        if name in _LOOPS and _is_piccolos(frame) and _LOOPS[name] in frame.f_locals:
            app = frame.f_locals["app_config"].app_name
            backwards = name.startswith("Backwards")
            return DirectedMigration(app, frame.f_locals[_LOOPS[name]], backwards)
    return None


def _is_piccolos(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_MODULES)


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- inspect.stack() reads source files
    while frame is not None:
        yield frame
        frame = frame.f_back
