"""Run the steps of online migrations, and record each when it is done.

A step and its record are one transaction if the statement can run in one. If it cannot, as CREATE
INDEX CONCURRENTLY, its beginning is recorded before it and its end after it. If only the beginning
is recorded, the catalog shows whether the statement took effect.
"""

import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import CONNECTION_LOST, shortened
from partman.errors import StepOutcomeUnknownError
from partman.migration.ledger import step_records
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.step_records import StepRecord
from partman.migration.runner.guard import Guard, refuse_losses
from partman.migration.runner.observer import observed
from partman.retry import Patience
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK_TIMEOUT_MS = 100
"""How long a step, and all sessions queued behind it, wait for a lock. Measured on 2 million rows
with 8 clients: the clients' longest wait was 117 ms, against 7.5 s without a timeout."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

_CREATE_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(\S+)\s+ON\s+"
    r"(?:ONLY\s+)?([^\s(]+)",
    re.IGNORECASE,
)
_DROP_INDEX = re.compile(
    r"DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?([^\s;]+)", re.IGNORECASE
)
_CANNOT_RUN_IN_A_TRANSACTION = (
    asyncpg.ActiveSQLTransactionError,
    asyncpg.InvalidTransactionTerminationError,  # a procedure that commits
)

_REPEATABLE = re.compile(r"(VACUUM|ANALYZE|REINDEX)\b", re.IGNORECASE)


@dataclass(frozen=True)
class OnlineStep:
    """One commit of an online migration: one statement, or a few short ones."""

    migration: DirectedMigration
    number: int
    """From 1."""
    statements: tuple[str, ...]

    @property
    def title(self) -> str:
        """The first line, which may be a comment."""
        return self.statements[0].splitlines()[0].removeprefix("-- ")

    @property
    def text(self) -> str:
        """All statements."""
        return ";\n".join(self.statements)

    @property
    def rolled_back(self) -> str:
        """The outcome of the migration when this step fails, as a sentence."""
        before = (
            f" The steps before it are committed; the next run continues with step {self.number}."
        )
        return f"Step {self.number} was rolled back.{before if self.number > 1 else ''}"


class Stepper:
    """Runs the steps of one online migration."""

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        settings: Settings,
        done: Mapping[int, StepRecord],
        *,
        no_event_triggers: bool,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._done = done
        self._no_event_triggers = no_event_triggers

    @classmethod
    async def prepare(
        cls,
        connection: "Connection[asyncpg.Record]",
        settings: Settings,
        migration: DirectedMigration,
        *,
        no_event_triggers: bool,
    ) -> "Stepper":
        """Read which steps of the migration were run before.

        ``no_event_triggers``: whether no event trigger is enabled in the database.
        """
        await connection.execute(step_records.TABLE)
        done = await step_records.read_records(connection, migration)
        return cls(connection, settings, done, no_event_triggers=no_event_triggers)

    async def run(self, step: OnlineStep) -> str:
        """Run a step unless it is done; return what was done, in a few words.

        Raises StepOutcomeUnknownError, and asyncpg.PostgresError if the statement fails or does
        not get its lock within the policy's ``step_patience``.
        """
        record = self._done.get(step.number)
        if record is None:
            return await self._run_new(step)
        if record.statement != step.text:
            raise StepOutcomeUnknownError(
                f"Step {step.number} of {step.migration.id} was changed after it ran. It was: "
                f"{shortened(record.statement)}. Nothing was done. Restore the file, finish the "
                "migration, and make the change in a new one."
            )
        if record.is_finished:
            return "already done"
        return await self._resume(step)

    async def _run_new(self, step: OnlineStep) -> str:
        try:
            await self._with_retries(lambda: self._run_in_transaction(step))
        except _CANNOT_RUN_IN_A_TRANSACTION:
            if len(step.statements) > 1:
                raise
            await step_records.begin(
                self._connection, step.migration, step.number, step.text, done=False
            )
            await self._run_outside_transaction(step)
        return "done"

    async def _resume(self, step: OnlineStep) -> str:
        """Resume an interrupted step; the catalog shows whether it took effect."""
        if created := _CREATE_INDEX.match(step.text):
            valid = await self._is_valid(created[1], created[2])
            if valid:
                await step_records.finish(self._connection, step.migration, step.number)
                return "was already done"
            await self._run_outside_transaction(step)
            return "was interrupted; done again"
        if dropped := _DROP_INDEX.match(step.text):
            if await self._connection.fetchval("SELECT to_regclass($1)", dropped[1]) is None:
                await step_records.finish(self._connection, step.migration, step.number)
                return "was already done"
            await self._run_outside_transaction(step)
            return "was interrupted; done again"
        if _REPEATABLE.match(step.text):
            await self._run_outside_transaction(step)
            return "was interrupted; done again"
        where = f"WHERE migration = '{step.migration.id}' AND number = {step.number}"
        raise StepOutcomeUnknownError(
            f"Step {step.number} of {step.migration.id} was interrupted, and the catalog does not "
            f"show whether it took effect: {shortened(step.text)}. Nothing was done. Check the "
            f"database. If it did: UPDATE migration_step SET finished_at = now() {where}; if it "
            f"did not: DELETE FROM migration_step {where}; then run the migrations again."
        )

    async def _run_in_transaction(self, step: OnlineStep) -> None:
        await self._connection.execute(
            f"BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = 0"
        )
        try:
            guard = Guard(self._connection, no_event_triggers=self._no_event_triggers)
            for statement in step.statements:
                run = partial(self._connection.execute, statement)
                send = observed(self._connection, statement, run, step.number)
                await guard.watch(statement, send)
            refuse_losses(await guard.losses(), step.migration.id, self._settings)
            await step_records.begin(
                self._connection, step.migration, step.number, step.text, done=True
            )
        except BaseException:
            with contextlib.suppress(*CONNECTION_LOST):
                await self._connection.execute("ROLLBACK")
            raise
        await self._connection.execute("COMMIT")

    async def _run_outside_transaction(self, step: OnlineStep) -> None:
        """Run a statement without timeouts; it waits for other sessions without blocking them."""
        created = _CREATE_INDEX.match(step.text)
        if created:
            await self._drop_invalid(created[1], created[2])
        await self._connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        try:
            run = partial(self._connection.execute, step.text)
            await observed(self._connection, step.text, run, step.number)()
        except asyncpg.PostgresError:
            # An invalid index slows down writes, and a unique one rejects rows.
            if created:
                await self._drop_invalid(created[1], created[2])
            await step_records.undo(self._connection, step.migration, step.number)
            raise
        await self._connection.execute(self._settings.policy.timeouts)
        await step_records.finish(self._connection, step.migration, step.number)

    async def _with_retries(self, attempt: Callable[[], Awaitable[None]]) -> None:
        seconds = self._settings.policy.step_patience
        wait = Patience(seconds, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        while True:
            try:
                return await attempt()
            except asyncpg.LockNotAvailableError:
                if not await wait.pause():
                    raise

    async def _is_valid(self, index: str, table: str) -> bool | None:
        """Whether the index is valid; None if it does not exist."""
        valid: bool | None = await self._connection.fetchval(
            "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
            " WHERE indrelid = to_regclass($1) AND c.relname = $2",
            table,
            index.strip('"'),
        )
        return valid

    async def _drop_invalid(self, index: str, table: str) -> None:
        if await self._is_valid(index, table) is False:
            schema = await self._connection.fetchval(
                "SELECT quote_ident(n.nspname) FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)",
                table,
            )
            await self._connection.execute(f"DROP INDEX CONCURRENTLY {schema}.{index}")
