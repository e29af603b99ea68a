"""A transaction of a run: sends statements as they are, under the guard, and knows its end."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg

from partman.database.distributed import Distribution
from partman.database.explain import CONNECTION_LOST, ROLLED_BACK
from partman.errors import NotAllowedError, TransactionControlError
from partman.grammar import ParsedStatement
from partman.migration.runner import distributed_run
from partman.migration.runner.guard import Guard, Outcome
from partman.migration.runner.losses import is_allowed, refuse_losses
from partman.migration.runner.observer import (
    is_observed,
    note_outcome,
    observed,
    runs_without_rows,
)
from partman.migration.runner.reach import divided, ends_transaction
from partman.migration.runner.run_session import RunSession
from partman.settings import Settings

Run = Callable[[str], Awaitable[Any]]
"""Sends the text of a statement, with its arguments."""

NEEDS_NO_TRANSACTION = (
    asyncpg.ActiveSQLTransactionError,
    asyncpg.InvalidTransactionTerminationError,  # a procedure or a DO block that commits
)
"""Raised in a transaction by a statement that cannot run in one."""


class GuardedTransaction:
    """One transaction of a migration, or of one of its steps."""

    def __init__(self, session: RunSession, migration: str, rolled_back: str = ROLLED_BACK) -> None:
        """``rolled_back`` is what became of the migration if this is rolled back, as sentences."""
        self._rolled_back = rolled_back
        self._session = session
        self._connection = session.connection
        self._migration = migration
        self._guard = Guard(
            session.connection,
            session.side,
            allows_losses=is_allowed(migration, session.settings),
            no_event_triggers=session.no_event_triggers,
            witnesses=session.witnesses if session.distribution else None,
        )

    async def begin(self, before: str = "", after: str = "") -> None:
        """Begin it; ``before`` and ``after`` are SQL in the same message."""
        on_all_nodes = distributed_run.ON_ALL_NODES if self._session.distribution else ""
        await self._connection.execute(f"{before}BEGIN; {on_all_nodes}{after}")

    async def run(
        self, sql: str, run: Run, *, arguments: bool = False, step: int | None = None
    ) -> Any:
        """Run the statements of a string, and return what the last one returns.

        Raises TransactionControlError, before anything is sent, if one of them would end the
        transaction.
        """
        parts = divided(sql)
        for text, parsed in parts:
            if ends_transaction(parsed):
                raise TransactionControlError(
                    f"{self._migration} ends its transaction itself: {text.strip()}. "
                    f"{self._rolled_back} Leave it out: partman commits a migration together with "
                    "its ledger row. For a commit between statements, use manager.online()."
                )
        if len(parts) == 1 or arguments:
            return await self._run_one(sql, parts[0][1], run, step)
        for text, parsed in parts:
            result = await self._run_one(text, parsed, run, step)
        return result

    @property
    def has_only_added(self) -> bool:
        """Whether no statement of it could remove or change anything, on this server alone.

        Unknown where somebody observes it: then also False.
        """
        is_alone = self._session.distribution is None and not is_observed()
        return is_alone and self._guard.has_seen_nothing

    async def finish(self) -> Outcome:
        """Return what was done, before the commit. Raises DataLossError after a rollback."""
        outcome = await self._guard.finish()
        note_outcome(outcome)
        await refuse_losses(
            self._connection,
            outcome.losses,
            self._migration,
            self._session.settings,
            rolled_back=self._rolled_back,
        )
        if self._session.distribution:
            await distributed_run.commit_in_two_phases(self._connection)
        return outcome

    async def roll_back(self) -> None:
        """Roll it back, if it is still open."""
        if self._connection.is_in_transaction():
            with contextlib.suppress(*CONNECTION_LOST):
                await self._connection.execute("ROLLBACK")

    async def _run_one(
        self, text: str, parsed: ParsedStatement | None, run: Run, step: int | None
    ) -> Any:
        before = None if parsed else await self._transaction_id()
        send = observed(self._connection, text, partial(run, text), step)
        is_guarded = self._session.settings.policy.counts_losses and not runs_without_rows()
        result = await (self._guard.watch(parsed, send) if is_guarded else send())
        if not parsed and (
            not self._connection.is_in_transaction() or await self._transaction_id() != before
        ):
            raise await self._ended(text, str(before))
        if self._session.distribution:
            await self._divide_new_tables(self._session.distribution)
        return result

    async def _divide_new_tables(self, distribution: Distribution) -> None:
        undivided = await distributed_run.undivided_tables(self._connection, distribution)
        for table in undivided:
            if table not in self._session.undivided:
                await distributed_run.divide(self._connection, distribution, table)

    async def _transaction_id(self) -> str:
        found: str = await self._connection.fetchval("SELECT pg_current_xact_id()::text")
        return found

    async def _ended(self, text: str, transaction: str) -> TransactionControlError:
        await self.roll_back()
        status = await self._connection.fetchval(
            "SELECT pg_xact_status($1::text::xid8)", transaction
        )
        kept = "stays" if status == "committed" else "was rolled back"
        return TransactionControlError(
            f"{self._migration} ended its transaction itself: {text.strip()}. What it had done "
            f"until then {kept} ({status}); it is not recorded as applied. Undo by hand what "
            "stays, leave out the statement that ends the transaction, and run the migrations "
            "again."
        )


def refuse_own_commits(migration: str, settings: Settings, rolled_back: str) -> None:
    """Refuse a procedure or DO block that commits, where no data may be lost.

    ``rolled_back`` is what became of the migration, as sentences. The block
    runs outside of any transaction of the run, so the guard could not take anything back.
    """
    if is_allowed(migration, settings):
        return
    raise NotAllowedError(
        f"{migration} has a procedure or a DO block that commits by itself: what it removes could "
        f"not be taken back. {rolled_back} Divide the work into steps of an online migration; or, "
        f"if it may lose data, set: PARTMAN_ALLOW_DATA_LOSS={migration}"
    )
