"""A migration run: one connection, one lock, and one commit for each migration.

Piccolo runs a migration in a transaction, commits, and then writes its ledger over a second
connection. Here all of a run's statements go over one connection. When Piccolo leaves its
transaction, the transaction is held open; Piccolo's next statement is the ledger write, which
then runs in the same transaction; the guard looks, the history row is added, and all of it
commits at once. Should Piccolo ever ask something else in between, it joins the transaction:
the migration and its ledger row still commit together, or not at all.
"""

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import AsyncIterator
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.database.blockers import Blockers
from partman.database.connection import connect
from partman.database.explain import CONNECTION_LOST, ROLLED_BACK, explain, shortened
from partman.database.wait import connected_when_ready
from partman.errors import (
    DatabaseUnavailableError,
    PartmanError,
    PermissionDeniedError,
    TryAgainError,
)
from partman.migration.ledger import history, lock, preflight, step_records
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

_WHAT_IS_THERE = """
SELECT to_regclass('migration_history') IS NOT NULL AS has_history,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D') AS has_event_triggers
"""


class _State(Enum):
    IDLE = auto()
    OPEN = auto()
    """In a migration's transaction."""
    HELD = auto()
    """Piccolo has left the transaction; its ledger write is still to come."""


class MigrationRun:
    """What the engine uses for as long as a migration command runs."""

    def __init__(
        self, settings: Settings, connection: "Connection[Record]", command: Command
    ) -> None:
        self.settings = settings
        self.raw = connection
        """The driver's connection."""
        self.connection = RunConnection(self)
        """What Piccolo gets in place of a connection of its own."""
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._blockers = Blockers(settings, connection.get_server_pid())
        self._writes = command.writes
        self._backwards = command.name == "backwards"
        self._state = _State.IDLE
        self._migration: DirectedMigration | None = None
        self._began = time.monotonic()
        self.trusting = False
        """Whether statements do what they say, for want of event triggers."""
        self._sql = ""
        self._guard = Guard(connection, trusting=False)
        self.serve(command)

    @classmethod
    async def start(cls, settings: Settings, command: Command) -> "MigrationRun":
        """Connect and, for a command that writes, take the lock and see that all is in order.

        A check or a preview runs in one transaction that is always rolled back, because
        Piccolo creates its ledger even for these. Raises PartmanError.
        """
        connection = await connect(
            settings,
            application_name=f"partman {command.title}",
            # A plan that was made for a table before a migration changed it would be refused.
            statement_cache_size=0,
        )
        run = cls(settings, connection, command)
        try:
            if command.writes:
                await run._prepare_to_write()
            else:
                await connection.execute("BEGIN")
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            await run.close()
            raise run._explained(error, "preparing the run") from error
        except BaseException:
            await run.close()
            raise
        return run

    # The life of a run

    def serve(self, command: Command) -> None:
        """Belong to this command from now on, and end with it.

        Nothing tells an engine that a command is over, but then Piccolo's object for it goes.
        `forwards all` makes one for each app, one after the other.
        """
        self._served = weakref.ref(command.instance, self._end_soon)
        self._app = command.app

    def serves(self, command: Command) -> bool:
        """Whether it belongs to this command, or to none any more."""
        return self._served() in (command.instance, None) and self._writes == command.writes

    def _end_soon(self, served: "weakref.ref[Any]") -> None:
        def end() -> None:
            if self._served is served:
                self.raw.terminate()
                self.closed = True

        with contextlib.suppress(RuntimeError):  # the event loop is closed, and so is the run
            self._loop.call_soon_threadsafe(end)

    async def close(self) -> None:
        """End the run: what is not committed is rolled back, the lock is free."""
        self.closed = True
        with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            await self.raw.close(timeout=5)

    async def _prepare_to_write(self) -> None:
        await session_setup.prepare(self.raw, self.settings, report=logger.info)
        found = await self.raw.fetchrow(_WHAT_IS_THERE)
        assert found is not None
        self.trusting = not found["has_event_triggers"]
        if not found["has_history"]:
            await self.raw.execute(history.TABLE)
        problems = await preflight.inspect(self.raw)
        preflight.report(problems, self.settings, backwards=self._backwards)

    # What Piccolo asks for

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
                    self.unwrapped(migration)
                    return await observed(self.raw, sql, run)()
                return await run()

    async def _read(self, run: Send) -> Any:
        try:
            return await run()
        except asyncpg.InsufficientPrivilegeError as error:
            raise PermissionDeniedError(f"{error}. Nothing was changed.") from error

    def unwrapped(self, migration: DirectedMigration) -> None:
        """Note that a migration does its work outside of a transaction."""
        if migration != self._migration:
            self._migration = migration
            self._began = time.monotonic()

    async def begin(self) -> None:
        """Begin a migration's transaction."""
        if not self._writes:
            return
        if self._state is _State.HELD:
            raise PartmanError(
                "Piccolo began a migration without having recorded the one before, which was "
                "rolled back. This version of Piccolo is not one that partman works with."
            )
        self._migration = running_migration()
        async with self.explaining("BEGIN"):
            await self._begin()
        self._state = _State.OPEN

    def hold(self) -> None:
        """Keep the transaction open that Piccolo has just left."""
        if self._state is _State.OPEN:
            self._state = _State.HELD

    async def roll_back(self) -> None:
        """Undo the migration's transaction."""
        self._state = _State.IDLE
        with contextlib.suppress(*CONNECTION_LOST):
            await self.raw.execute("ROLLBACK")

    async def failed(
        self, error: BaseException, sql: str = "", became: str = ROLLED_BACK
    ) -> BaseException:
        """End the run after an error; return the error that says so to a person."""
        await self.roll_back()
        await self._record_failure(error)
        await self.close()
        return self._explained(error, sql, became)

    @contextlib.asynccontextmanager
    async def explaining(self, sql: str, became: str = ROLLED_BACK) -> AsyncIterator[None]:
        """End the run after an error outside of Piccolo's transaction, and say so to a person.

        ``became`` is what it is told of the migration.
        """
        try:
            yield
        except BaseException as error:
            explained = await self.failed(error, sql, became)
            if explained is error:
                raise
            raise explained from error

    # How a migration is completed

    async def _begin(self) -> None:
        await self.raw.execute("BEGIN")
        self._began = time.monotonic()
        self._guard = Guard(self.raw, trusting=self.trusting)

    async def _begin_for_ledger(self, migration: DirectedMigration) -> None:
        """Begin the transaction of a migration that was run without one, or was not run."""
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
        guard.refuse(await self._guard.losses(), self._migration.id, self.settings)
        if not await self._record(self.raw, self._migration, direction):
            raise PartmanError(
                "The migration lock is not held by the server process that is about to commit: "
                "something between us and the server changes server processes. Nothing was "
                "committed. Connect to the server directly."
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

    # What is done when something went wrong

    async def _lost_at_commit(self, migration: DirectedMigration) -> PartmanError:
        """Find out what became of a commit whose answer never came."""
        try:
            async with self._another_connection() as connection:
                # The server process that was to commit has ended when its lock is free.
                await lock.acquire(connection, patience=10, report=logger.info)
                applied = {row.key for row in await read_ledger(connection)}
        except PartmanError as error:
            return DatabaseUnavailableError(
                f"The connection was lost while {migration.id} was being committed: it is either "
                f"applied and recorded, or neither. `partman status` will tell. ({error})"
            )
        committed = (migration.key in applied) is not migration.backwards
        self._migration = None if committed else migration
        became = "It was committed, and is recorded" if committed else "It was rolled back"
        return DatabaseUnavailableError(
            f"The connection was lost while {migration.id} was being committed. {became}. "
            "Run again for what is left."
        )

    async def _record_failure(self, error: BaseException) -> None:
        migration = self._migration
        if migration is None:
            return
        direction = Direction.BACKWARDS if migration.backwards else Direction.FORWARDS
        said = f"{type(error).__name__}: {error}"
        with contextlib.suppress(PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
            if self.raw.is_closed():
                async with self._another_connection() as connection:
                    await self._record(connection, migration, direction, said)
            else:
                await self._record(self.raw, migration, direction, said)

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
        self, error: BaseException, sql: str, became: str = ROLLED_BACK
    ) -> BaseException:
        if isinstance(error, asyncpg.LockNotAvailableError):
            return TryAgainError(
                f"A statement waited {self.settings.policy.lock_timeout:g} s for a lock. "
                f"{self._blockers.description()} {became} Run it again later. "
                f"The statement: {shortened(sql or self._sql)}"
            )
        if isinstance(error, CONNECTION_LOST):
            return DatabaseUnavailableError(
                f"The connection was lost ({error}). What was not committed is rolled back; run "
                "again for what is left."
            )
        if isinstance(error, asyncpg.PostgresError):
            return explain(error, sql or self._sql, became)
        return error


def _writes_ledger(sql: str) -> bool:
    return sql.startswith(('INSERT INTO "migration"', 'DELETE FROM "migration"'))
