"""Run migrations on a scratch database, and record the statements that they send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piccolo.apps.migrations.auto.migration_manager import (
    MigrationManager as PiccoloMigrationManager,
)

from partman.apps import app_configs
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.errors import NotExpressibleError
from partman.migration.ledger.files import MigrationFile, import_migrations
from partman.migration.runner.backfill import Backfill, PrimaryKey
from partman.migration.runner.guarded_transaction import NEEDS_NO_TRANSACTION
from partman.migration.runner.manager import MigrationManager
from partman.migration.runner.managers import modules_of
from partman.migration.runner.observer import Send, observing
from partman.migration.runner.requirements import Requirement
from partman.migration.verification.rebuild import (
    backwards,
    forwards,
    install_extensions,
    replay,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TRANSACTION = """
SELECT virtualtransaction FROM pg_catalog.pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'
"""


@dataclass(frozen=True)
class RecordedStatement:
    """A statement that a migration has sent."""

    sql: str
    step: int | None
    """The number of the step in an online migration, else None."""
    transaction: str | None
    """The virtual transaction; None for a statement that cannot run in one."""


@dataclass(frozen=True)
class RecordedMigration:
    """A migration, and the statements that it has sent in one direction."""

    file: MigrationFile
    backwards: bool
    is_one_transaction: bool
    is_online: bool
    statements: tuple[RecordedStatement, ...]
    requirements: tuple[Requirement, ...]
    """Rules that the rows must satisfy before it."""
    steps_sql: tuple[str, ...]
    """The text of each step of an online migration, as its record has it."""
    backfills: Mapping[int, tuple[Backfill, PrimaryKey]]
    """The backfills among its steps, by the number of the step."""

    @property
    def steps(self) -> int | None:
        """How many steps it has; None if it is not online."""
        return len(self.steps_sql) if self.is_online else None


async def record(
    scratch_server: Settings,
    applied: Sequence[MigrationFile],
    files: Sequence[MigrationFile],
    *,
    reverting: bool,
) -> list[RecordedMigration]:
    """Run ``files`` in this order on a scratch database that has ``applied``; or revert them.

    Raises NotExpressibleError for migrations that only Python can run, and the errors of a run.
    """
    managers = await _managers(files)
    _refuse_python(managers, reverting=reverting)
    recorded = []
    async with scratch_database(scratch_server) as scratch:
        await install_extensions(scratch)
        await replay(scratch, {file.key for file in applied})
        for file, manager in managers:
            recorder = _Recorder()
            with observing(recorder):
                await (backwards if reverting else forwards)(scratch, file)
            keys = await _keys(scratch, manager, reverting=reverting)
            recorded.append(_recorded(file, manager, recorder, keys, reverting=reverting))
    return recorded


async def _managers(
    files: Sequence[MigrationFile],
) -> list[tuple[MigrationFile, PiccoloMigrationManager | None]]:
    """Return each file's manager, as its forwards() returns it; None if it returns another."""
    import_migrations()  # one that cannot be imported is named
    apps = {app.app_name: modules_of(app) for app in app_configs()}
    found = []
    for file in files:
        manager = await apps[file.app][file.id].forwards()
        found.append((file, manager if isinstance(manager, PiccoloMigrationManager) else None))
    return found


def _refuse_python(
    managers: Sequence[tuple[MigrationFile, PiccoloMigrationManager | None]], *, reverting: bool
) -> None:
    """Raise NotExpressibleError if a migration runs Python functions, or has no manager."""
    names = [
        f"{file.id} of {file.app}"
        for file, manager in managers
        if manager is None or (manager.raw_backwards if reverting else manager.raw)
    ]
    if names:
        raise NotExpressibleError(
            f"{', '.join(names)}: it runs Python functions (add_raw), and what they do can depend "
            "on the rows, so no script can do the same. No script was written. Run these with "
            "partman migrate and write a script for the others, with --from and --to."
        )


class _Recorder:
    """Observer that records what was not rolled back."""

    def __init__(self) -> None:
        self.statements: list[RecordedStatement] = []

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        transaction = None
        if connection.is_in_transaction():
            transaction = await connection.fetchval(_TRANSACTION)
        try:
            result = await send()
        except NEEDS_NO_TRANSACTION:
            self.statements = [
                each
                for each in self.statements
                if each.transaction is None or each.transaction != transaction
            ]
            raise
        self.statements.append(RecordedStatement(sql, step, transaction))
        return result


def _recorded(
    file: MigrationFile,
    manager: PiccoloMigrationManager | None,
    recorder: _Recorder,
    backfills: Mapping[int, tuple[Backfill, PrimaryKey]],
    *,
    reverting: bool,
) -> RecordedMigration:
    ours = manager if isinstance(manager, MigrationManager) else None
    return RecordedMigration(
        file,
        reverting,
        is_one_transaction=manager is None or manager.wrap_in_transaction,
        is_online=ours is not None and ours.is_online,
        statements=tuple(recorder.statements),
        requirements=tuple(ours.requirements_of(backwards=reverting)) if ours else (),
        steps_sql=tuple(";\n".join(map(str, parts)) for parts in ours.steps(backwards=reverting))
        if ours
        else (),
        backfills=backfills,
    )


async def _keys(
    scratch: Settings, manager: PiccoloMigrationManager | None, *, reverting: bool
) -> Mapping[int, tuple[Backfill, PrimaryKey]]:
    """Return the backfills of a migration that has just run, with the keys of their tables."""
    if not isinstance(manager, MigrationManager):
        return {}
    backfills = {
        number: part
        for number, parts in enumerate(manager.steps(backwards=reverting), 1)
        for part in parts
        if isinstance(part, Backfill)
    }
    if not backfills:
        return {}
    async with connected(scratch, "partman sql") as connection:
        return {
            number: (each, await PrimaryKey.read(connection, each))
            for number, each in backfills.items()
        }
