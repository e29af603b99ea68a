"""Find the Piccolo migration command that is calling the engine.

Piccolo does not tell its engine which command is running, so the call stack is searched for it.
That works in a shell and when called from code, in any thread or event loop, without a setting.
"""

import sys
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
        module = frame.f_globals.get("__name__", "")
        if frame.f_code.co_qualname in _ENTRIES and module.startswith(_MODULES):
            instance, name = frame.f_locals["self"], module.removeprefix(_MODULES)
            writes = name != "check" and not instance.preview
            return Command(instance, instance.app_name, name, writes)
    return None


def running_migration() -> DirectedMigration | None:
    """Return the migration in the call stack; None if there is none."""
    for frame in _callers():
        if frame.f_code.co_qualname == "MigrationManager.run":
            manager = frame.f_locals["self"]
            return DirectedMigration(
                manager.app_name, manager.migration_id, frame.f_locals["backwards"]
            )
    return None


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- inspect.stack() reads source files
    while frame is not None:
        yield frame
        frame = frame.f_back
