"""Run the steps of online migrations, and record each when it is done.

A step and its record are one transaction if the statement can run in one. If it cannot, as CREATE
INDEX CONCURRENTLY, its beginning is recorded before it, with what the catalog had, and its end
after it. If only the beginning is recorded, the catalog shows whether the statement took effect.

What a step sets in the session ends with it, so that it does the same when a killed run resumes.
"""

import contextlib
import inspect
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import asyncpg

from partman.database.explain import CONNECTION_LOST, shortened
from partman.errors import PartmanError, StepFailedError, StepOutcomeUnknownError
from partman.migration.ledger import step_records
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.step_records import StepRecord
from partman.migration.runner import builds
from partman.migration.runner.backfill import Backfill
from partman.migration.runner.guard import Outcome
from partman.migration.runner.guarded_transaction import (
    NEEDS_NO_TRANSACTION,
    GuardedTransaction,
    refuse_own_commits,
)
from partman.migration.runner.leftovers import (
    CLEANING,
    CatalogState,
    finalize,
    read_catalog,
    remove_new,
)
from partman.migration.runner.observer import observed
from partman.migration.runner.portions import PortionRunner
from partman.migration.runner.reach import divided, is_empty
from partman.migration.runner.run_session import RunSession
from partman.migration.runner.step_statement import StepStatement, Work, step_statement
from partman.migration.runner.waiting import LOCK_TIMEOUT_MS, Output, Waiting

_TRANSACTION_NUMBER = """
SELECT split_part(virtualtransaction, '/', 2)::bigint FROM pg_catalog.pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'
"""
"""A number that grows by one with each transaction of a server process."""


@dataclass(frozen=True)
class OnlineStep:
    """One commit of an online migration: one statement, or a few short ones."""

    migration: DirectedMigration
    number: int
    """From 1."""
    statements: tuple[str, ...]
    backfill: Backfill | None = None
    """What it runs in portions, instead of as one commit."""

    @classmethod
    def of(
        cls, migration: DirectedMigration, number: int, parts: Sequence[str | Backfill]
    ) -> "OnlineStep":
        """Return the step with these statements, or with this backfill."""
        backfill = next((each for each in parts if isinstance(each, Backfill)), None)
        return cls(migration, number, tuple(map(str, parts)), backfill)

    @property
    def title(self) -> str:
        """The first line, which may be a comment."""
        return inspect.cleandoc(self.statements[0]).partition("\n")[0].removeprefix("-- ")

    @property
    def text(self) -> str:
        """All statements."""
        return ";\n".join(self.statements)

    @cached_property
    def statement(self) -> StepStatement:
        """What its only statement is; of several, nothing in particular."""
        parts = [part for text in self.statements for part in divided(text)]
        return step_statement(parts[0][1] if len(parts) == 1 else None)


class Stepper:
    """Runs the steps of one online migration."""

    def __init__(
        self,
        session: RunSession,
        done: Mapping[int, StepRecord],
    ) -> None:
        self._session = session
        self._connection = session.connection
        self._settings = session.settings
        self._done = done
        self._waiting: Waiting
        self.outcome = ""
        """What became of the last step if it failed, as a sentence."""

    @classmethod
    async def prepare(cls, session: RunSession, migration: DirectedMigration) -> "Stepper":
        """Read which steps of the migration were run before."""
        await step_records.create(session.connection)
        done = await step_records.read_records(session.connection, migration)
        return cls(session, done)

    async def run(self, step: OnlineStep, output: Output) -> tuple[str, Outcome]:
        """Run a step unless it is done; return what was done, in a few words, and to which rows.

        ``output`` is told for whom it waits, and how far it is.
        Raises StepOutcomeUnknownError, StepFailedError, and asyncpg.PostgresError if the statement
        fails or does not get its lock within the policy's ``step_patience``. Then ``outcome`` says
        what became of it.
        """
        self.outcome = _rolled_back(step, "was rolled back")
        title = f"Step {step.number} of {step.migration.id}"
        self._waiting = Waiting(self._session.blockers, title, output)
        record = self._done.get(step.number)
        if record is None and not step.backfill:
            return await self._run_new(step)
        if record is None:
            return await self._run_backfill(step, None, output)
        if record.statement != step.text:
            raise StepOutcomeUnknownError(
                f"Step {step.number} of {step.migration.id} was changed after it ran. It was: "
                f"{shortened(record.statement)}. Nothing was done. Restore the file, finish the "
                "migration, and make the change in a new one."
            )
        if record.is_finished:
            return "already done", Outcome()
        if step.backfill:
            return await self._run_backfill(step, record, output)
        return await self._resume(step, record), Outcome()

    async def _run_backfill(
        self, step: OnlineStep, record: StepRecord | None, output: Output
    ) -> tuple[str, Outcome]:
        assert step.backfill is not None
        runner = PortionRunner(self._session, step.backfill, step.migration, step.number, output)
        try:
            return await runner.run(record)
        except BaseException:
            self.outcome = runner.outcome
            raise

    async def _run_new(self, step: OnlineStep) -> tuple[str, Outcome]:
        try:
            if step.statement.work is not Work.BUILD:  # PostgreSQL would refuse it at once
                patience = self._settings.policy.step_patience
                attempt = partial(self._run_in_transaction, step)
                return "done", await self._waiting.patiently(patience, attempt)
        except NEEDS_NO_TRANSACTION:
            if step.statement.work is Work.OTHER and len(step.statements) > 1:
                raise
        if step.statement.work is Work.OWN_COMMITS:
            refuse_own_commits(step.migration.id, self._settings, self.outcome)
        before = await read_catalog(self._connection, step.statement.table)
        await step_records.begin(
            self._connection,
            step.migration,
            step.number,
            step.text,
            before=before.as_json,
        )
        return await self._run_outside_transaction(step, before) or "done", Outcome()

    async def _resume(self, step: OnlineStep, record: StepRecord) -> str:
        """Resume an interrupted step; the catalog shows whether it took effect."""
        statement = step.statement
        before = (
            CatalogState.from_json(record.before)
            if record.before
            else CatalogState(invalid=(), detaching=(), indexes=())
        )
        if statement.work in (Work.OWN_COMMITS, Work.OTHER):
            where = f"WHERE migration = '{step.migration.id}' AND number = {step.number}"
            raise StepOutcomeUnknownError(
                f"Step {step.number} of {step.migration.id} was interrupted, and the catalog does "
                f"not show whether it took effect: {shortened(step.text)}. Nothing was done. Check "
                "the database. If it did: UPDATE public.migration_step SET finished_at = now() "
                f"{where}; if it did not: DELETE FROM public.migration_step {where}; then run the "
                "migrations again."
            )
        await self._remove_new(step, before, self._settings.policy.step_patience)
        if await self._took_effect(statement, before):
            await step_records.finish(self._connection, step.migration, step.number)
            return "was already done"
        await self._run_outside_transaction(step, before)
        return "was interrupted; done again"

    async def _took_effect(self, statement: StepStatement, before: CatalogState) -> bool:
        """Whether an interrupted statement had finished its work, once leftovers are removed."""
        match statement.work:
            case Work.BUILD if statement.index is None:
                now = await read_catalog(self._connection, statement.table)
                return bool(set(now.indexes) - set(before.indexes))
            case Work.BUILD:
                return await builds.is_valid(self._connection, statement) is True
            case Work.DROP:
                return not await self._connection.fetchval(
                    "SELECT count(to_regclass(name))"
                    " FROM json_array_elements_text($1::text::json) AS name",
                    json.dumps(statement.indexes),
                )
            case Work.DETACH:
                return not await self._connection.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_catalog.pg_inherits"
                    " WHERE inhrelid = to_regclass($1))",
                    statement.table,
                )
        return False

    async def _run_in_transaction(self, step: OnlineStep) -> Outcome:
        transaction = GuardedTransaction(self._session, step.migration.id, self.outcome)
        await transaction.begin(
            after=self._session.set_local(
                f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = 0"
            )
        )
        try:
            # The driver cannot execute() a string without a statement.
            for statement in itertools.filterfalse(is_empty, step.statements):
                await transaction.run(statement, self._connection.execute, step=step.number)
            outcome, message = await self._before_commit(transaction, step)
        except BaseException:
            await transaction.roll_back()
            raise
        try:
            await self._connection.execute(message)
        except CONNECTION_LOST:
            self.outcome = await self._outcome_of_commit(step)
            raise
        except BaseException:
            await transaction.roll_back()
            raise
        return outcome

    async def _before_commit(
        self, transaction: GuardedTransaction, step: OnlineStep
    ) -> tuple[Outcome, str]:
        """Return what a step has done, and the message that ends with its COMMIT.

        The session is put back before the guard looks, and before the step is recorded. Where the
        guard has nothing to ask, all of that is one message. It is ASCII: in which encoding the
        server reads it is a setting, too.
        """
        recorded = step_records.done(step.migration, step.number, step.text)
        if transaction.has_only_added and recorded.isascii():
            message = f"{self._session.put_back}{recorded}; COMMIT"
            return await transaction.finish(), message
        await self._connection.execute(self._session.put_back)
        outcome = await transaction.finish()
        await self._connection.execute(recorded)
        return outcome, "COMMIT"

    async def _run_outside_transaction(self, step: OnlineStep, before: CatalogState) -> str:
        """Run a statement without timeouts; it waits for other sessions without blocking them.

        Returns what was done, if that is more than to run it.
        """
        statement = step.statement
        self.outcome = (
            f"What became of step {step.number}, which cannot run in a transaction, is not known "
            "yet: the next run asks the catalog."
        )
        if statement.work is Work.BUILD and statement.index is not None:
            await builds.drop_invalid(
                self._connection,
                statement,
                f"step {step.number} of {step.migration.id}",
                self._waiting,
                patience=self._settings.policy.step_patience,
            )
        async with self._without_timeouts():
            if statement.work is Work.DETACH and await finalize(
                self._connection,
                statement.table,
                self._waiting,
                patience=self._settings.policy.step_patience,
            ):
                await step_records.finish(self._connection, step.migration, step.number)
                return "was half detached; finished"
            number = await self._connection.fetchval(_TRANSACTION_NUMBER)
            try:
                run = partial(self._connection.execute, step.text)
                with self._waiting.watching_a_build():
                    await observed(self._connection, step.text, run, step.number)()
            except asyncpg.PostgresError:
                if self._connection.is_closed():
                    raise
                if await self._clean_up(step, before, number):
                    return "was interrupted; finished"
                raise
        await builds.refuse_invalid(
            self._connection, statement, f"Step {step.number} of {step.migration.id}"
        )
        await step_records.finish(self._connection, step.migration, step.number)
        return ""

    async def _clean_up(self, step: OnlineStep, before: CatalogState, number: int) -> bool:
        """Remove what a failed statement has left; return whether its work is done after all."""
        statement = step.statement
        if statement.work is Work.OWN_COMMITS:
            commits = await self._connection.fetchval(_TRANSACTION_NUMBER) - number - 2
            await step_records.undo(self._connection, step.migration, step.number)
            self.outcome = _rolled_back(step, "was rolled back")
            if commits > 0:
                self.outcome = _rolled_back(
                    step,
                    f"failed after {commits} commits of its own, which stay. The next run begins "
                    "it anew, so it must be repeatable",
                )
            return False
        # Without its index, it has failed because there was none.
        if statement.work is Work.DROP and not await self._took_effect(statement, before):
            self.outcome = _rolled_back(step, "is not finished, and is repeated by the next run")
            return False
        await self._remove_new(step, before, CLEANING)
        if statement.work is Work.DETACH and await self._took_effect(statement, before):
            await step_records.finish(self._connection, step.migration, step.number)
            return True
        await step_records.undo(self._connection, step.migration, step.number)
        self.outcome = _rolled_back(step, "was undone, nothing of it is left")
        return False

    async def _remove_new(self, step: OnlineStep, before: CatalogState, patience: float) -> None:
        left = await remove_new(
            self._connection, before, step.statement.table, self._waiting, patience=patience
        )
        if left:
            raise StepFailedError(
                f"Step {step.number} of {step.migration.id} failed, and something of it is left. "
                f"The next run tries again to remove it; or do it by hand: {' '.join(left)}"
            )

    async def _outcome_of_commit(self, step: OnlineStep) -> str:
        """Find out whether a step was committed whose connection was lost in COMMIT."""
        try:
            async with self._session.after_lost_commit() as connection:
                records = await step_records.read_records(connection, step.migration)
        except PartmanError as error:
            return f"Whether step {step.number} was committed is not known: {error}"
        return _rolled_back(step, "was committed" if step.number in records else "was rolled back")

    @contextlib.asynccontextmanager
    async def _without_timeouts(self) -> AsyncIterator[None]:
        await self._connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        try:
            yield
        finally:
            with contextlib.suppress(*CONNECTION_LOST):
                await self._connection.execute(self._session.put_back)


def _rolled_back(step: OnlineStep, what: str) -> str:
    """Return the outcome of a migration whose step failed, as sentences."""
    before = f" The steps before it are committed; the next run continues with step {step.number}."
    return f"Step {step.number} {what}.{before if step.number > 1 else ''}"
