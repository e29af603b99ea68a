"""A migration run: one connection, one lock, and one commit per migration.

Stock Piccolo runs a migration in a transaction, commits, and then writes its ledger over a second
connection. Here all statements of a run use one connection. When Piccolo leaves its transaction,
the transaction stays open. Piccolo's next statement, the ledger write, runs in it; then the guard
checks for losses, the history row is completed, and everything is committed at once. What another
Piccolo sent in between would join the transaction: all is committed together, or not at all.

The session is the migration's own: what it sets is put back before the ledger is written, and what
it leaves otherwise is discarded before the next one begins.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.database.blockers import Blockers
from partman.database.connection import KEEPS_NO_STATEMENT, connect
from partman.database.explain import CONNECTION_LOST, ROLLED_BACK
from partman.database.extensions import create_extensions
from partman.errors import PartmanError, PermissionDeniedError
from partman.migration.ledger import history, preflight, step_records
from partman.migration.ledger.files import import_migrations
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.runner import completion, failures, session_setup
from partman.migration.runner.command import Command, running_migration
from partman.migration.runner.distributed_run import undivided_tables
from partman.migration.runner.guard import Outcome
from partman.migration.runner.guarded_transaction import GuardedTransaction, Run
from partman.migration.runner.run_session import RunSession
from partman.migration.runner.tables_with_rows import SideReader
from partman.migration.runner.unreadable import refuse_unreadable
from partman.migration.runner.waiting import watching_a_statement
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from partman.migration.runner.separate_commits import SeparateCommits

logger = logging.getLogger("partman.run")


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
        blockers = Blockers(settings, connection.get_server_pid())
        self.session = RunSession(connection, settings, SideReader(settings), blockers)
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._writes = command.writes
        self._backwards = command.name == "backwards"
        self._state = _State.IDLE
        self._migration: DirectedMigration | None = None
        self._transaction = GuardedTransaction(self.session, "")
        self._is_first = True
        self._commits: SeparateCommits | None = None
        """Of a migration that is not one transaction."""
        self._failure: tuple[BaseException, str] | None = None
        """The error that a statement of the run has raised, and the statement."""
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
        if not command.writes:
            import_migrations()  # as Piccolo will; one that cannot be imported is named
        connection = await connect(
            settings,
            application_name=f"partman {command.title}",
            **KEEPS_NO_STATEMENT,
        )
        run = cls(settings, connection, command)
        try:
            if command.writes:
                await run._prepare_to_write(extensions)
            else:
                await connection.execute("BEGIN")
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            run._failure = error, "preparing the run"
            explained = run._explained(error, "Nothing was run.")
            await run.close()
            raise explained from error
        except BaseException:
            await run.close()
            raise
        _open_runs.add(run)
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

    @property
    def is_of_this_loop(self) -> bool:
        """Whether the event loop that is running is the one that the connection belongs to."""
        return asyncio.get_running_loop() is self._loop

    @property
    def is_writing(self) -> bool:
        """Whether it may be in the middle of a migration."""
        return self._writes and not self.closed and self._command() is not None

    def _end_with_command(self, command: "weakref.ref[Any]") -> None:
        def end() -> None:
            if self._command is command:
                self.raw.terminate()
                self.session.close_others()
                self.closed = True

        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the run with it
            self._loop.call_soon_threadsafe(end)

    async def close(self) -> None:
        """End the run; the server rolls back what is not committed, and releases the lock."""
        self.closed = True
        self.session.close_others()
        with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            await self.raw.close(timeout=5)

    async def _prepare_to_write(self, extensions: Sequence[str]) -> None:
        prepared = await session_setup.prepare(self.raw, self.settings, report=logger.info)
        divided = prepared.distribution
        self.session = replace(
            self.session,
            put_back=prepared.put_back,
            ledger_first=prepared.ledger_first,
            is_holder=prepared.is_holder,
            distribution=divided,
            undivided=frozenset(await undivided_tables(self.raw, divided) if divided else ()),
            no_event_triggers=prepared.no_event_triggers,
        )
        await history.create(self.raw)
        entries, killed = await history.read_completed(self.raw)
        for each in killed:
            logger.warning("%s of %s: an earlier run was killed.", each.migration, each.app)
        files = await refuse_unreadable(self.raw, backwards=self._backwards)
        problems = await preflight.inspect(self.raw, files, entries, are_imported=True)
        preflight.report(problems, self.settings, backwards=self._backwards)
        await create_extensions(self.raw, extensions)

    # Requests of Piccolo

    async def statement(self, sql: str, arguments: tuple[Any, ...], run: Run) -> Any:
        """Run a statement that Piccolo or a migration sends; ``run`` sends its text."""
        if not self._writes:
            return await self._read(partial(run, sql))
        with watching_a_statement(self.session.blockers, self.settings.policy.lock_timeout):
            if self._state is _State.OPEN:
                with self.remembering(sql):
                    return await self._transaction.run(sql, run, arguments=bool(arguments))
            async with self.explaining():
                with self.remembering(sql):
                    return await self._run_outside(sql, arguments, run)

    async def _run_outside(self, sql: str, arguments: tuple[Any, ...], run: Run) -> Any:
        """Run a statement outside of Piccolo's transactions."""
        migration = running_migration()
        if migration is not None:
            commits = await self.begin_nontransactional(migration)
            return await commits.run(sql, run, arguments=bool(arguments))
        if (backwards := completion.is_ledger_write(sql)) is not None:
            return await self._complete(backwards, sql, arguments, run)
        return await run(sql)

    async def _read(self, send: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await send()
        except asyncpg.InsufficientPrivilegeError as error:
            raise PermissionDeniedError(f"{error}. Nothing was changed.") from error

    async def begin_nontransactional(
        self, migration: DirectedMigration, steps: int | None = None
    ) -> "SeparateCommits":
        """Record that a migration works outside a transaction; ``steps`` of an online one."""
        from partman.migration.runner.separate_commits import SeparateCommits  # seldom needed

        if self._commits is None or migration != self._migration:
            self._migration = migration
            self._commits = SeparateCommits(self.session, migration, steps)
            await self.raw.execute(f"{self._forgetting()}{history.beginning(migration, steps)}")
        return self._commits

    @contextlib.asynccontextmanager
    async def without_transaction(self, migration: DirectedMigration) -> AsyncIterator[None]:
        """Run a migration whose statements commit one by one; explain what ends it."""
        async with self.explaining():
            with self.remembering("BEGIN"):
                await self.begin_nontransactional(migration)
            yield

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
        async with self.explaining():
            with self.remembering("BEGIN"):
                await self._begin(self._migration)
        self._state = _State.OPEN

    def hold(self) -> None:
        """Keep open the transaction that Piccolo has just left."""
        if self._state is _State.OPEN:
            self._state = _State.HELD

    async def roll_back(self) -> None:
        """Roll the migration's transaction back."""
        self._state = _State.IDLE
        await self._transaction.roll_back()

    async def failed(self, error: BaseException, outcome: str | None = None) -> BaseException:
        """End the run after an error; return the error to raise."""
        if self.closed:  # by the same error, further in
            return error
        explained = self._explained(error, outcome or self._outcome())
        await self.roll_back()
        if self._migration is not None:
            await completion.record_failure(self.session, error)
        await self.close()
        return explained

    @contextlib.asynccontextmanager
    async def explaining(
        self, outcome: str | Callable[[], str] | None = None
    ) -> AsyncIterator[None]:
        """End the run after an error outside Piccolo's transaction, and raise it explained.

        ``outcome`` is, or returns, the sentence that states what became of the migration.
        """
        try:
            yield
        except BaseException as error:
            explained = await self.failed(error, outcome() if callable(outcome) else outcome)
            if explained is error:
                raise
            raise explained from error

    @contextlib.contextmanager
    def remembering(self, sql: str) -> Iterator[None]:
        """Remember that an error in a block is a statement's, and not the migration's code's."""
        try:
            yield
        except BaseException as error:
            if self._failure is None or self._failure[0] is not error:
                self._failure = error, sql
            raise

    def _forgetting(self) -> str:
        """Return the SQL that ends what the previous migration of this run has left."""
        is_first, self._is_first = self._is_first, False
        return "" if is_first else session_setup.FORGET

    # Completion of a migration

    async def _begin(self, migration: DirectedMigration | None) -> None:
        before = self._forgetting()
        if migration is not None:
            # The row need not survive a crash of the server, in which nothing of it would either.
            before += (
                f"BEGIN; SET LOCAL synchronous_commit = off;{history.beginning(migration)}; COMMIT;"
            )
        self._commits = None
        self._transaction = GuardedTransaction(self.session, migration.id if migration else "")
        await self._transaction.begin(before)

    async def _complete(
        self, backwards: bool, sql: str, arguments: tuple[Any, ...], run: Run
    ) -> Any:
        """Write the ledger row and the history row, and commit them with the migration."""
        is_simple = self._state is _State.HELD and self._transaction.has_only_added
        at_once = is_simple and completion.at_once(sql, arguments, self.session.is_holder)
        if at_once and self._migration:
            await self._complete_at_once(self._migration, at_once)
            return []
        is_faked = self._migration is None
        if self._migration is None:
            self._migration = DirectedMigration(self._app, str(arguments[0]), backwards)
        if self._state is _State.IDLE:  # nontransactional, or faked
            if self._commits is not None:
                self._commits.is_recording = True
            self._transaction = GuardedTransaction(self.session, self._migration.id)
            await self.raw.execute(self.session.put_back)
            await self._transaction.begin(after=self.session.ledger_first)
            self._state = _State.HELD
            await step_records.forget(self.raw, self._migration)
        else:
            await completion.send(self.raw, self._restoring, self._failure)
        result = await run(sql)
        done = [*(self._commits.outcomes if self._commits else ())]
        done.append(await self._transaction.finish())
        changes = "; ".join(filter(None, map(str, done))) or None
        changed = [str(each) for outcome in done for each in outcome.changes]
        await completion.record(self.raw, self._migration, changes, is_faked=is_faked)
        await self._commit(self._migration)
        if changed:
            if backwards:  # Piccolo ends its line after this
                print(flush=True)
            logger.info("%s changed rows: %s.", self._migration.id, "; ".join(changed))
        self._migration = self._commits = None
        return result

    async def _complete_at_once(self, migration: DirectedMigration, message: str) -> None:
        await self._transaction.finish()
        await self._commit(migration, f"{self._restoring}{message}")
        self._migration = None

    @property
    def _restoring(self) -> str:
        return f"{self.session.put_back}{self.session.ledger_first}"

    async def _commit(self, migration: DirectedMigration, message: str = "COMMIT") -> None:
        """Send the message that ends with the COMMIT."""
        try:
            await completion.send(self.raw, message, self._failure)
        except CONNECTION_LOST as error:
            if await completion.was_committed(migration, self.session):
                self._migration, outcome = None, "It was committed and recorded."
            elif self._commits is None:
                outcome = "It was rolled back."
            else:
                outcome = self._commits.outcome
            raise completion.lost_at_commit(migration, outcome) from error
        self._state = _State.IDLE
        await self.raw.reload_schema_state()

    # Errors

    def _outcome(self) -> str:
        """Return the sentence about what becomes of the migration that fails now."""
        return ROLLED_BACK if self._commits is None else self._commits.outcome

    def note(self, outcome: Outcome) -> None:
        """Note what a step of the migration has done, for its history row."""
        if self._commits is not None:
            self._commits.outcomes.append(outcome)

    def _explained(self, error: BaseException, outcome: str) -> BaseException:
        if self._failure is not None and self._failure[0] is error:
            sql, blockers = self._failure[1], self.session.blockers
            return failures.of_the_database(error, self.raw, sql, outcome, blockers=blockers)
        key = self._migration.key if self._migration else None
        return failures.of_the_code(error, key, outcome)


_open_runs: "weakref.WeakSet[MigrationRun]" = weakref.WeakSet()


def open_run() -> MigrationRun | None:
    """Return a run that is open in this process and writes, whatever task has begun it."""
    return next((run for run in _open_runs if run.is_writing), None)
