"""Migrations whose work is several commits: what is committed, and what that means when one fails.

Of one with ``wrap_in_transaction=False`` each statement is a commit, and only the run itself knows
how many there were. The steps of an online one are recorded; see online_steps.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from partman.database.explain import CONNECTION_LOST, ROLLED_BACK
from partman.errors import PartmanError, StepFailedError
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.runner import builds
from partman.migration.runner.guard import Outcome
from partman.migration.runner.guarded_transaction import (
    NEEDS_NO_TRANSACTION,
    GuardedTransaction,
    Run,
    refuse_own_commits,
)
from partman.migration.runner.leftovers import CLEANING, read_catalog, remove_new
from partman.migration.runner.observer import observed
from partman.migration.runner.reach import divided
from partman.migration.runner.run_session import RunSession
from partman.migration.runner.step_statement import Work, step_statement
from partman.migration.runner.waiting import Log, Waiting
from partman.wording import counted

_TIMELINE = "substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"
"""After a failover to a standby another one: its transaction IDs are others."""


@dataclass
class SeparateCommits:
    """What a migration that is not one transaction has committed so far."""

    session: RunSession
    migration: DirectedMigration
    steps: int | None
    """How many steps it has, if it is online."""
    outcomes: list[Outcome] = field(default_factory=list)
    """Of its commits, oldest first."""
    is_recording: bool = False
    """Whether all that remains is to write the ledger."""
    _last: str = "was rolled back"
    """What became of the statement that failed."""

    @property
    def outcome(self) -> str:
        """What became of a migration that fails now, as sentences."""
        if self.is_recording and self.steps is not None:
            return (
                "All its steps are committed, but it is not recorded as applied. The next run "
                "does that."
            )
        if self.is_recording:
            return (
                f"All its statements ({len(self.outcomes)}) are committed and stay, as the "
                f"migration has wrap_in_transaction=False. {_NOT_RECORDED}"
            )
        if not self.outcomes and self._last == "was rolled back":
            return ROLLED_BACK
        number = len(self.outcomes)
        stay = "is committed and stays" if number == 1 else "are committed and stay"
        return (
            f"{counted(number, 'statement')} before it {stay}, as the migration has "
            f"wrap_in_transaction=False; this one {self._last}. {_NOT_RECORDED}"
        )

    async def run(self, sql: str, run: Run, *, arguments: bool) -> Any:
        """Run a statement in a transaction of its own if it can run in one."""
        transaction = GuardedTransaction(self.session, self.migration.id, self.outcome)
        await transaction.begin()
        try:
            result = await transaction.run(sql, run, arguments=arguments)
            outcome = await transaction.finish()
        except NEEDS_NO_TRANSACTION as error:
            await transaction.roll_back()
            if isinstance(error, asyncpg.InvalidTransactionTerminationError):
                refuse_own_commits(self.migration.id, self.session.settings, self.outcome)
            result, outcome = await self._run_outside(sql, run), Outcome()
        except BaseException:
            await transaction.roll_back()
            raise
        else:
            await self._commit()
        self.outcomes.append(outcome)
        return result

    async def _run_outside(self, sql: str, run: Run) -> Any:
        """Run a statement that cannot run in a transaction; leave nothing of it if it fails."""
        connection, place = self.session.connection, self.migration.id
        parts = divided(sql)
        statement = step_statement(parts[0][1] if len(parts) == 1 else None)
        before = await read_catalog(connection, statement.table)
        patience = self.session.settings.policy.step_patience
        waiting = Waiting(self.session.blockers, place, Log())
        await builds.drop_invalid(connection, statement, place, waiting, patience=patience)
        try:
            result = await observed(connection, sql, partial(run, sql))()
        except asyncpg.PostgresError as error:
            if connection.is_closed() or statement.work is Work.DROP:
                self._last = "may be half done"
                raise
            found = self.session.blockers.found
            left = await remove_new(connection, before, statement.table, waiting, patience=CLEANING)
            self.session.blockers.found = found  # of the statement that failed
            if left:
                self._last = "failed, and something of it is left"
                raise StepFailedError(
                    f"{error}. {self.outcome} Remove what is left of the statement: "
                    f"{' '.join(left)}"
                ) from error
            raise
        await builds.refuse_invalid(connection, statement, place)
        return result

    async def _commit(self) -> None:
        """Commit a statement; if the connection is lost, find out what became of it.

        No record tells, so its transaction is asked for. Its ID means another one after a failover,
        so it is only asked for on the same timeline.
        """
        connection = self.session.connection
        transaction = await connection.fetchrow(
            f"SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, {_TIMELINE} AS line"
        )
        assert transaction is not None
        try:
            await connection.execute("COMMIT")
        except CONNECTION_LOST:
            if transaction["id"] is not None:
                self._last = await self._asked(transaction["id"], transaction["line"])
            raise

    async def _asked(self, transaction: str, timeline: str) -> str:
        try:
            async with self.session.after_lost_commit() as connection:
                status = await connection.fetchval(
                    f"SELECT CASE WHEN {_TIMELINE} = $2 THEN"
                    " pg_catalog.pg_xact_status($1::text::xid8) END",
                    transaction,
                    timeline,
                )
        except (PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
            status = None
        if status == "committed":
            return "is committed, too"
        return "was rolled back" if status == "aborted" else "may be committed or not"


_NOT_RECORDED = (
    "The migration is not recorded as applied: undo them, or make them repeatable, before it runs "
    "again."
)
