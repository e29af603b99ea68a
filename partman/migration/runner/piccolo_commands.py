"""Run migrations from code, as ``piccolo migrations`` does in the shell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

from piccolo.apps.migrations.commands import backwards, forwards
from piccolo.apps.migrations.commands.base import MigrationResult

from partman.apps import app_configs
from partman.database.connection import connected
from partman.errors import MigrationFailedError, NotAllowedError, PartmanError, TryAgainError
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import read_ledger, read_status
from partman.migration.runner.command import failed_migration
from partman.migration.runner.repetition import without_repetition
from partman.migration.runner.run import open_run
from partman.retry import pauses
from partman.settings import Settings

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


async def run_forwards(app: str = "all", migration_id: str = "all") -> None:
    """Run pending migrations. Raises PartmanError if one fails, or cannot be imported."""
    app_configs()
    async with _explaining():
        _require_success(await forwards.run_forwards(app_name=app, migration_id=migration_id))


async def run_forwards_app_by_app(apps: Iterable[str]) -> AsyncIterator[str]:
    """Run the pending migrations of one app after the other; yield each app when it is done.

    All are one run, as with ``forwards all``. Raises the errors of run_forwards().
    """
    async with _explaining():
        for app in apps:
            # The run goes on as long as there is a command, here until the next one takes it over.
            command = forwards.ForwardsMigrationManager(app_name=app)
            _require_success(await command.run())
            yield app


def _require_success(result: MigrationResult) -> None:
    if not result.success:
        raise MigrationFailedError(result.message or "Piccolo did not run the migrations.")


async def run_forwards_patiently(retries: int, report: Callable[[str], None]) -> None:
    """Run all pending migrations; retry up to ``retries`` times after a lock timeout.

    ``report`` gets the error and the pause before each retry. Raises PartmanError.
    """
    waits = pauses(_FIRST_PAUSE, _LONGEST_PAUSE, growth=2)
    told: frozenset[str] = frozenset()
    with without_repetition() as next_attempt:
        for left in reversed(range(retries + 1)):
            try:
                await run_forwards()
            except TryAgainError as error:
                if not left:
                    raise
                wait = next(waits)
                same = error.in_the_way and error.in_the_way == told
                said = "The same sessions are in the way." if same else error.reason
                report(f"{said} Retrying in {wait:.1f} s ({left} of {retries} retries left).")
                told = error.in_the_way or told
                next_attempt()
                await asyncio.sleep(wait)
            else:
                return


async def run_backwards(app: str, migration_id: str = "1") -> None:
    """Revert migrations down to and including one. Raises the errors of run_forwards()."""
    app_configs()
    async with _explaining():
        _require_success(
            await backwards.run_backwards(app_name=app, migration_id=migration_id, auto_agree=True)
        )


async def run_backwards_app_by_app(oldest: Iterable[MigrationKey]) -> None:
    """Revert migrations down to and including each of these, which are of several apps.

    All are one run. Raises the errors of run_forwards().
    """
    async with _explaining():
        for app, migration in oldest:
            # As in run_forwards_app_by_app().
            command = backwards.BackwardsMigrationManager(app, migration, auto_agree=True)
            _require_success(await command.run())


@contextlib.asynccontextmanager
async def _explaining() -> AsyncIterator[None]:
    """End the run after an error of a migration's function itself, and raise it explained.

    What its manager does is explained where it happens, and has ended the run.
    """
    try:
        yield
    except Exception as error:
        migration, run = failed_migration(error), open_run()
        if isinstance(error, PartmanError) or migration is None or run is None:
            raise
        async with run.explaining(
            "Nothing of the migration was run; the database is as it was before it."
        ):
            await run.begin_nontransactional(migration)
            raise


async def redo_newest(settings: Settings) -> None:
    """Revert the migration that was run last, and run it again.

    Raises NotAllowedError if there is none, or if its app has an older one that is pending, which
    would be run in its place; and the errors of run_forwards().
    """
    async with connected(settings) as connection:
        ledger = await read_ledger(connection)
        status = await read_status(connection)
    if not ledger:
        raise NotAllowedError("No migration is applied: nothing to redo. Nothing was run.")
    newest = ledger[-1]
    if newest.key not in {state.key for state in status.migrations if state.has_file}:
        raise NotAllowedError(
            f"The migration that was run last, {newest.id} of {newest.app}, has no file here. "
            "Nothing was run. Switch to the code that has it."
        )
    older = [one.id for one in status.pending if one.app == newest.app and one.id < newest.id]
    if older:
        raise NotAllowedError(
            f"{older[0]} of {newest.app} is pending, and older than {newest.id}, which was run "
            "last. Nothing was run. Run it first: piccolo migrations forwards all"
        )
    await run_backwards(newest.app)
    await run_forwards(newest.app, "1")
