"""The engine of Piccolo's migration commands."""

import contextlib
import gc
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from piccolo.engine.postgres import PostgresTransaction

from partman.database.engine import DatabaseEngine
from partman.errors import OutsideRunError, PartmanError
from partman.logs import configure_logging
from partman.migration.runner.command import Command, calling_command
from partman.migration.runner.piccolo_connection import RunConnection, RunTransaction
from partman.migration.runner.run import MigrationRun, open_run
from partman.piccolo_cli import in_administration, in_piccolo_command, reporting_errors
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from piccolo.querystring import QueryString

_current_run: ContextVar[MigrationRun | None] = ContextVar("migration_run", default=None)
"""The run of the current task."""


class MigrationEngine(DatabaseEngine):
    """An engine that routes every request of a migration command to its MigrationRun."""

    async def get_new_connection(self) -> "Connection[Record] | Any":
        """Return a new connection; in a migration command, the run's. Raises PartmanError."""
        self._refuse_outside_run()
        with reporting_errors():
            command = calling_command()
            if command is None:
                return await self.application_connection()
            return RunConnection(await self._run_of(command))

    @property
    def is_administration(self) -> bool:
        """Whether this is a Piccolo command that works on all rows, such as ``fixtures``."""
        return in_administration()

    @property
    def in_migration(self) -> bool:
        """Whether a migration command is calling."""
        run = _current_run.get()
        return run is not None and not run.closed and calling_command() is not None

    def transaction(self, allow_nested: bool = True) -> PostgresTransaction:
        """Return a transaction; in a migration command, one that the run completes."""
        run = _current_run.get()
        if run is None or not self.in_migration:
            return super().transaction(allow_nested)
        return RunTransaction(self, run, allow_nested)

    async def run_querystring(self, querystring: "QueryString", in_pool: bool = True) -> Any:
        """Run a query."""
        self._refuse_outside_run()
        with reporting_errors():
            return await super().run_querystring(querystring, in_pool and self._may_use_pool())

    async def run_ddl(self, ddl: str, in_pool: bool = True) -> Any:
        """Run a statement that changes the schema."""
        self._refuse_outside_run()
        with reporting_errors():
            return await super().run_ddl(ddl, in_pool and self._may_use_pool())

    @contextlib.contextmanager
    def working_on(self, settings: Settings) -> Iterator[None]:
        """Use another database, such as a scratch database, for the duration of a block."""
        token = _current_run.set(None)
        try:
            with super().working_on(settings):
                yield
        finally:
            _current_run.reset(token)

    def migration_run(self) -> MigrationRun:
        """Return the current run. Raises PartmanError outside a migration command."""
        run = _current_run.get()
        if run is None or run.closed:
            raise PartmanError(
                "An online migration was started outside a migration command, which records its "
                "steps. Nothing was run. Run it with: piccolo migrations forwards all"
            )
        return run

    def _may_use_pool(self) -> bool:
        return self.pool is not None and calling_command() is None

    def _refuse_outside_run(self) -> None:
        """Refuse a query beside a run of this process: it would pass by its lock and its guard."""
        run = _current_run.get()
        if run is None or not run.is_writing:
            run = open_run()  # of another task, loop or thread
        if (
            run is not None
            and run.settings.database_url == self.settings.database_url
            and not (run.is_of_this_loop and self._is_of_a_run())
        ):
            raise OutsideRunError

    def _is_of_a_run(self) -> bool:
        return self.current_transaction.get() is not None or calling_command() is not None

    async def _run_of(self, command: Command) -> MigrationRun:
        run = _current_run.get()
        if run is not None and not run.closed and run.is_attached_to(command):
            run.attach_to(command)
            return run
        _prepare_piccolo_command(self.settings)
        run = await MigrationRun.start(self.settings, command, self.extensions)
        _current_run.set(run)
        return run


def _prepare_piccolo_command(settings: Settings) -> None:
    """Prepare the process of a Piccolo command for a run; an application prepares its own.

    Piccolo sets up no logging. Its command line has imported several packages for its other
    commands, which stay: the garbage collector need not look through them again and again.
    """
    if not in_piccolo_command():
        return
    gc.freeze()
    if not logging.getLogger("partman").handlers:
        configure_logging(settings.log_format)
