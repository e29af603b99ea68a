"""A migration run: one connection, one lock, and one commit per migration.

Stock Piccolo runs a migration in a transaction, commits, and then writes its ledger over a second
connection. Here all statements of a run use one connection. When Piccolo leaves its transaction,
the transaction stays open. Piccolo's next statement, the ledger write, runs in it; then the guard
checks for losses, the history row is added, and everything is committed at once. If a future
Piccolo sent another statement in between, it would join the transaction: migration and ledger row
would still be committed together or not at all.
"""

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.database.blockers import Blockers
from partman.database.connection import connect
from partman.database.explain import CONNECTION_LOST, ROLLED_BACK, explain, shortened
from partman.database.extensions import create_extensions
from partman.database.wait import connected_when_ready
from partman.errors import (
    DatabaseUnavailableError,
    PartmanError,
    PermissionDeniedError,
    TryAgainError,
)
from partman.migration.ledger import history, lock, preflight, step_records
from partman.migration.ledger.files import import_migrations
from partman.migration.ledger.history import Direction
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.status import read_ledger
from partman.migration.runner import guard, session_setup
from partman.migration.runner.command import Command, running_migration
from partman.migration.runner.guard import Guard
from partman.migration.runner.observer import Send, observed
from partman.migration.runner.piccolo_connection import RunConnection
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")

_DATABASE_FEATURES = """
SELECT to_regclass('migration_history') IS NOT NULL AS has_history,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D') AS has_event_triggers
"""


class _State(Enum):
    IDLE = auto()
    OPEN = auto()
    """In a migration's transaction."""
    HELD = auto()
    """Piccolo has left the transaction, but has not written the ledger yet."""


class MigrationRun:
    """The run of one migration command, which the engine uses as long as the command runs."""

    def __init__(
        self, settings: Settings, connection: "Connection[Record]", command: Command
    ) -> None:
        self.settings = settings
        self.raw = connection
        """The asyncpg connection."""
        self.connection = RunConnection(self)
        """The connection that Piccolo gets."""
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._blockers = Blockers(settings, connection.get_server_pid())
        self._writes = command.writes
        self._backwards = command.name == "backwards"
        self._state = _State.IDLE
        self._migration: DirectedMigration | None = None
        self._began = time.monotonic()
        self.no_event_triggers = False
        """Whether no event trigger is enabled in the database."""
        self._sql = ""
        self._guard = Guard(connection, no_event_triggers=False)
        self.attach_to(command)

    @classmethod
    async def start(
        cls, settings: Settings, command: Command, extensions: Sequence[str] = ()
    ) -> "MigrationRun":
        """Connect; for a command that writes, take the migration lock and run the preflight.

        A command that writes then creates the missing extensions. A check or a preview runs in one
        transaction that is always rolled back, because Piccolo creates its ledger even for these.
        Raises PartmanError.
        """
        import_migrations()  # as Piccolo will; one that cannot be imported is named
        connection = await connect(
            settings,
            application_name=f"partman {command.title}",
            # A cached plan of a table fails after a migration has changed the table.
            statement_cache_size=0,
        )
        run = cls(settings, connection, command)
        try:
            if command.writes:
                await run._prepare_to_write(extensions)
            else:
                await connection.execute("BEGIN")
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            await run.close()
            raise run._explained(error, "preparing the run", "Nothing was run.") from error
        except BaseException:
            await run.close()
            raise
        return run

    # Beginning and end of a run

    def attach_to(self, command: Command) -> None:
        """Attach the run to a command, and end it with the command.

        Piccolo does not tell its engine that a command has ended, but then its command object is
        garbage-collected. `forwards all` creates one for each app, one after the other.
        """
        self._command = weakref.ref(command.instance, self._end_with_command)
        self._app = command.app

    def is_attached_to(self, command: Command) -> bool:
        """Whether the run is attached to this command, or its command has ended."""
        return self._command() in (command.instance, None) and self._writes == command.writes

    def _end_with_command(self, command: "weakref.ref[Any]") -> None:
        def end() -> None:
            if self._command is command:
                self.raw.terminate()
                self.closed = True

        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the run with it
            self._loop.call_soon_threadsafe(end)

    async def close(self) -> None:
        """End the run; the server rolls back what is not committed, and releases the lock."""
        self.closed = True
        with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            await self.raw.close(timeout=5)

    async def _prepare_to_write(self, extensions: Sequence[str]) -> None:
        await session_setup.prepare(self.raw, self.settings, report=logger.info)
        found = await self.raw.fetchrow(_DATABASE_FEATURES)
        assert found is not None
        self.no_event_triggers = not found["has_event_triggers"]
        if not found["has_history"]:
            await self.raw.execute(history.TABLE)
        problems = await preflight.inspect(self.raw)
        preflight.report(problems, self.settings, backwards=self._backwards)
        await create_extensions(self.raw, extensions)

    # Requests of Piccolo

    async def statement(self, sql: str, arguments: tuple[Any, ...], run: Send) -> Any:
        """Run a statement that Piccolo or a migration sends."""
        self._sql = sql
        if not self._writes:
            return await self._read(run)
        with self._blockers.watching():
            if self._state is _State.OPEN:
                return await self._guard.watch(sql, observed(self.raw, sql, run))
            async with self.explaining(sql):
                if _writes_ledger(sql):
                    return await self._complete(sql, arguments, run)
                if self._state is _State.IDLE and (migration := running_migration()):
                    self.begin_nontransactional(migration)
                    return await observed(self.raw, sql, run)()
                return await run()

    async def _read(self, run: Send) -> Any:
        try:
            return await run()
        except asyncpg.InsufficientPrivilegeError as error:
            raise PermissionDeniedError(f"{error}. Nothing was changed.") from error

    def begin_nontransactional(self, migration: DirectedMigration) -> None:
        """Record that a migration works outside a transaction."""
        if migration != self._migration:
            self._migration = migration
            self._began = time.monotonic()

    async def begin(self) -> None:
        """Begin a migration's transaction."""
        if not self._writes:
            return
        if self._state is _State.HELD:
            raise PartmanError(
                "Piccolo began a migration before it recorded the previous one, which was rolled "
                "back. This version of Piccolo is not supported. Install the one that partman "
                "requires."
            )
        self._migration = running_migration()
        async with self.explaining("BEGIN"):
            await self._begin()
        self._state = _State.OPEN

    def hold(self) -> None:
        """Keep open the transaction that Piccolo has just left."""
        if self._state is _State.OPEN:
            self._state = _State.HELD

    async def roll_back(self) -> None:
        """Roll the migration's transaction back."""
        self._state = _State.IDLE
        with contextlib.suppress(*CONNECTION_LOST):
            await self.raw.execute("ROLLBACK")

    async def failed(
        self, error: BaseException, sql: str = "", outcome: str = ROLLED_BACK
    ) -> BaseException:
        """End the run after an error; return the error to raise."""
        await self.roll_back()
        await self._record_failure(error)
        await self.close()
        return self._explained(error, sql, outcome)

    @contextlib.asynccontextmanager
    async def explaining(self, sql: str, outcome: str = ROLLED_BACK) -> AsyncIterator[None]:
        """End the run after an error outside Piccolo's transaction, and raise it explained.

        ``outcome`` is the sentence that states what became of the migration.
        """
        try:
            yield
        except BaseException as error:
            explained = await self.failed(error, sql, outcome)
            if explained is error:
                raise
            raise explained from error

    # Completion of a migration

    async def _begin(self) -> None:
        await self.raw.execute("BEGIN")
        self._began = time.monotonic()
        self._guard = Guard(self.raw, no_event_triggers=self.no_event_triggers)

    async def _begin_for_ledger(self, migration: DirectedMigration) -> None:
        """Begin the transaction in which a nontransactional or faked migration is recorded."""
        began = self._began
        await self._begin()
        self._began = began
        self._state = _State.HELD
        await step_records.forget(self.raw, migration)

    async def _complete(self, sql: str, arguments: tuple[Any, ...], write: Send) -> Any:
        """Write the ledger row and the history row, and commit them with the migration."""
        backwards = sql.startswith("DELETE")
        direction = Direction.BACKWARDS if backwards else Direction.FORWARDS
        if self._migration is None:
            self._migration = DirectedMigration(self._app, str(arguments[0]), backwards)
            direction = Direction.BACKWARDS if backwards else Direction.FAKED
            self._began = time.monotonic()
        if self._state is _State.IDLE:
            await self._begin_for_ledger(self._migration)
        result = await write()
        guard.refuse_losses(await self._guard.losses(), self._migration.id, self.settings)
        if not await self._record(self.raw, self._migration, direction):
            raise PartmanError(
                "The server process that is about to commit does not hold the migration lock: a "
                "pooler changes server processes. Nothing was committed. Set DATABASE_URL to the "
                "server itself."
            )
        await self._commit(self._migration)
        return result

    async def _commit(self, migration: DirectedMigration) -> None:
        try:
            await self.raw.execute("COMMIT")
        except CONNECTION_LOST as error:
            raise await self._lost_at_commit(migration) from error
        self._state, self._migration = _State.IDLE, None
        await self.raw.reload_schema_state()

    # Errors

    async def _lost_at_commit(self, migration: DirectedMigration) -> PartmanError:
        """Find out the outcome of a commit whose answer was lost."""
        try:
            async with self._another_connection() as connection:
                # When the lock is free, the server process that was committing has ended.
                await lock.acquire(connection, patience=10, report=logger.info)
                applied = {row.key for row in await read_ledger(connection)}
        except PartmanError as error:
            return DatabaseUnavailableError(
                f"The connection was lost while {migration.id} was being committed. It is either "
                "applied and recorded, or rolled back. Find out with: partman status. Connecting "
                f"again failed: {error}"
            )
        committed = (migration.key in applied) is not migration.backwards
        self._migration = None if committed else migration
        outcome = "It was committed and recorded" if committed else "It was rolled back"
        return DatabaseUnavailableError(
            f"The connection was lost while {migration.id} was being committed. {outcome}. "
            "Run the command again to apply the remaining migrations."
        )

    async def _record_failure(self, error: BaseException) -> None:
        migration = self._migration
        if migration is None:
            return
        direction = Direction.BACKWARDS if migration.backwards else Direction.FORWARDS
        text = f"{type(error).__name__}: {error}"
        with contextlib.suppress(PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
            if self.raw.is_closed():
                async with self._another_connection() as connection:
                    await self._record(connection, migration, direction, text)
            else:
                await self._record(self.raw, migration, direction, text)

    async def _record(
        self,
        connection: "Connection[Record]",
        migration: DirectedMigration,
        direction: Direction,
        error: str | None = None,
    ) -> bool:
        return await history.record(
            connection,
            migration=migration.key,
            direction=direction,
            duration=timedelta(seconds=time.monotonic() - self._began),
            error=error,
        )

    def _another_connection(self) -> "contextlib.AbstractAsyncContextManager[Connection[Record]]":
        return connected_when_ready(self.settings, patience=10, report=logger.info)

    def _explained(
        self, error: BaseException, sql: str, outcome: str = ROLLED_BACK
    ) -> BaseException:
        if isinstance(error, asyncpg.LockNotAvailableError):
            return TryAgainError(
                f"A statement did not get a lock within {self.settings.policy.lock_timeout:g} s. "
                f"{self._blockers.description()} {outcome} Run the migrations again later. "
                f"The statement: {shortened(sql or self._sql)}"
            )
        if isinstance(error, CONNECTION_LOST):
            return DatabaseUnavailableError(
                f"The connection was lost: {error}. Uncommitted changes were rolled back. Run the "
                "command again to apply the remaining migrations."
            )
        if isinstance(error, asyncpg.PostgresError):
            return explain(error, sql or self._sql, outcome)
        return error


def _writes_ledger(sql: str) -> bool:
    return sql.startswith(('INSERT INTO "migration"', 'DELETE FROM "migration"'))
