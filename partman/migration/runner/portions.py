"""Run a backfill: portion by portion, each one commit with its position.

The position is recorded in the transaction of the portion itself. So each row is changed exactly
once, however often the run is killed.
"""

import asyncio
import dataclasses
from collections import Counter, deque
from time import monotonic

import asyncpg

from partman.database.explain import CONNECTION_LOST
from partman.database.other_sessions import in_the_way, obstacles
from partman.errors import PartmanError
from partman.migration.ledger import step_records
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.step_records import Progress, StepRecord
from partman.migration.runner.backfill import Backfill
from partman.migration.runner.division import Division, Portion, division
from partman.migration.runner.guard import Outcome
from partman.migration.runner.guarded_transaction import GuardedTransaction
from partman.migration.runner.losses import RowChanges
from partman.migration.runner.observer import in_portions, runs_without_rows
from partman.migration.runner.run_session import RunSession
from partman.migration.runner.waiting import LOCK_TIMEOUT_MS, Output, Waiting
from partman.progress import Pace
from partman.wording import counted

_MOST_ROWS = 1_000_000
_LOOK_AGAIN = 1.0
"""Seconds between two looks at standbys and old transactions."""

_TIMEOUTS = f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = 0"

_EXACT = """
SET LOCAL statement_timeout = 0;
SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'
"""
"""A position is stored as text, which every session must read as the same value."""

_ESTIMATE = """
SELECT sum(greatest(reltuples, 0))::bigint FROM pg_catalog.pg_class
WHERE relkind = 'r' AND oid IN (
    SELECT to_regclass($1) UNION ALL SELECT relid FROM pg_catalog.pg_partition_tree(to_regclass($1))
)
"""

_STANDBYS = """
SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint AS written,
    (min(replay_lsn) - '0/0')::bigint AS replayed, bool_or(state IS NULL) AS is_hidden
FROM pg_catalog.pg_stat_replication
"""

_OLDEST = """
SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 1
"""


class PortionRunner:
    """Runs the portions of one step."""

    def __init__(
        self,
        session: RunSession,
        backfill: Backfill,
        migration: DirectedMigration,
        number: int,
        output: Output,
    ) -> None:
        """Prepare to run the step with this number."""
        self._session, self._connection = session, session.connection
        self._backfill, self._migration, self._number = backfill, migration, number
        self._output = output
        self._waiting = Waiting(session.blockers, f"Step {number} of {migration.id}", output)
        self._limits = _Limits(session, backfill, output)
        self._division: Division
        self._rows = backfill.pace.rows
        self._progress = Progress(0, None, None)
        self._portions = self._updated = 0
        self._changes: Counter[tuple[str, str]] = Counter()
        self._unknown = ""

    @property
    def outcome(self) -> str:
        """What became of the step that fails now, as sentences."""
        if self._unknown:
            return self._unknown
        done = counted(self._progress.rows, "row")
        return (
            f"{done} of {self._backfill.table} are done and committed; the portion after them was "
            f"rolled back. The next run continues there, in step {self._number}."
        )

    async def run(self, record: StepRecord | None) -> tuple[str, Outcome]:
        """Run the portions that are left; return what was done, in a few words, and to which rows.

        Raises MigrationFailedError, and asyncpg.PostgresError if a portion fails or does not get
        its locks within the policy's ``step_patience``.
        """
        self._division = await division(
            self._connection,
            self._backfill,
            is_distributed=self._session.distribution is not None,
        )
        if record is None:
            await self._begin()
        elif record.progress is not None:
            self._progress = record.progress
        pace = Pace(self._progress.rows)
        while await self._next():
            speed = pace.told(self._progress.rows, self._progress.total, "row")
            self._output.progress(f"{self._backfill.table}: {self._progress}{speed}")
            await self._limits.wait()
        said = f"done, {counted(self._updated, 'row')} in {counted(self._portions, 'portion')}"
        return said, Outcome(changes=self._changed())

    async def _begin(self) -> None:
        total = await self._connection.fetchval(_ESTIMATE, self._backfill.table)
        self._progress = Progress(0, total or None, None)
        await step_records.begin(
            self._connection, self._migration, self._number, str(self._backfill)
        )
        await step_records.note_progress(
            self._connection, self._migration, self._number, self._progress
        )

    async def _next(self) -> bool:
        """Run one portion; return whether another one follows."""
        patience = self._session.settings.policy.step_patience
        started = monotonic()
        done = await self._waiting.patiently(patience, self._attempt)
        self._adapt(monotonic() - started, done)
        return done.end is not None

    async def _attempt(self) -> Portion:
        try:
            return await self._portion()
        except asyncpg.LockNotAvailableError:
            # A smaller portion meets fewer of the rows that others have locked.
            self._rows = max(1, self._rows // 4)
            raise

    async def _portion(self) -> Portion:
        portion = Portion(str(self._backfill), None, None)
        if not runs_without_rows():  # then it is seen as one statement, on a scratch database
            portion = await self._find()
        transaction = GuardedTransaction(self._session, self._migration.id, self.outcome)
        await transaction.begin(after=self._session.set_local(_TIMEOUTS))
        try:
            with in_portions():
                tag = await transaction.run(
                    portion.update, self._connection.execute, step=self._number
                )
            await self._connection.execute(self._session.put_back)
            outcome = await transaction.finish()
            updated = int(str(tag).rpartition(" ")[2])
            passed = updated if portion.rows is None else portion.rows
            progress = dataclasses.replace(
                self._progress, rows=self._progress.rows + passed, position=portion.end
            )
            if portion.end is None:
                await step_records.finish(self._connection, self._migration, self._number)
            await step_records.note_progress(
                self._connection, self._migration, self._number, progress
            )
        except BaseException:
            await transaction.roll_back()
            raise
        try:
            await self._connection.execute("COMMIT")
        except CONNECTION_LOST:
            await self._ask_how_far()
            raise
        self._progress = progress
        self._note(outcome, updated)
        return portion

    async def _find(self) -> Portion:
        """Return the next portion."""
        await self._connection.execute(f"BEGIN READ ONLY; {self._session.set_local(_EXACT)}")
        try:
            return await self._division.next(self._progress.position, self._rows)
        finally:
            await self._connection.execute("ROLLBACK")

    async def _ask_how_far(self) -> None:
        """Find out whether a portion was committed whose connection was lost in COMMIT."""
        try:
            async with self._session.after_lost_commit() as connection:
                records = await step_records.read_records(connection, self._migration)
            self._progress = records[self._number].progress or self._progress
        except PartmanError as error:
            self._unknown = f"Whether the last portion was committed is not known: {error}"

    def _adapt(self, seconds: float, done: Portion) -> None:
        """Choose the number of rows of the next portion by the time of this one."""
        factor = self._backfill.pace.portion / max(seconds, 0.001)
        if done.rows is not None and done.rows * 2 < self._rows:
            factor = min(factor, 1)  # it says nothing of a larger one
        self._rows = round(min(max(self._rows * min(max(factor, 0.25), 2), 1), _MOST_ROWS))

    def _note(self, outcome: Outcome, updated: int) -> None:
        self._portions += 1
        self._updated += updated
        for change in outcome.changes:
            self._changes[change.table, "updated"] += change.updated
            self._changes[change.table, "deleted"] += change.deleted

    def _changed(self) -> tuple[RowChanges, ...]:
        return tuple(
            RowChanges(table, self._changes[table, "updated"], self._changes[table, "deleted"])
            for table in dict.fromkeys(table for table, _ in self._changes)
        )


class _Limits:
    """What a backfill waits for between its portions."""

    def __init__(self, session: RunSession, backfill: Backfill, output: Output) -> None:
        self._connection = session.connection
        self._pace, self._table = backfill.pace, backfill.table
        self._output = output
        self._said = ""
        self._is_told = False
        self._next_look = 0.0
        self._written: deque[tuple[int, float]] = deque()
        """How much WAL there was at which moment, as far as a standby has not replayed it."""

    async def wait(self) -> None:
        """Pause; then wait while a standby is too far behind, or a transaction too old."""
        await asyncio.sleep(self._pace.pause)
        if monotonic() < self._next_look:
            return
        while reason := await self._reason():
            self._say(f"The backfill of {self._table} waits: {reason}")
            await asyncio.sleep(_LOOK_AGAIN)
        self._say("")
        self._next_look = monotonic() + _LOOK_AGAIN

    def _say(self, text: str) -> None:
        """Say it, unless it was the last that was said."""
        kind = text.partition(":")[2].partition(",")[0]
        if kind != self._said:
            self._said = kind
            self._output.say(text or f"The backfill of {self._table} goes on.")

    async def _reason(self) -> str:
        behind = await self._behind()
        if behind > self._pace.replication_lag:
            return f"a standby is behind, by {behind:.0f} s."
        oldest = await self._connection.fetchrow(_OLDEST)
        if oldest is not None and oldest["seconds"] > self._pace.transaction_age:
            found = await obstacles(self._connection, [oldest["pid"]])
            return f"a transaction is old, {oldest['seconds']:.0f} s. {in_the_way(found)}"
        return ""

    async def _behind(self) -> float:
        """Return how many seconds ago the oldest WAL was written that a standby has not replayed.

        PostgreSQL's own replay_lag stands still when the replay does.
        """
        found = await self._connection.fetchrow(_STANDBYS)
        assert found is not None
        if found["is_hidden"] and not self._is_told:
            self._is_told = True
            self._output.say(
                "How far the standbys are behind is hidden from this role, and not waited for: "
                "GRANT pg_read_all_stats to it."
            )
        if found["replayed"] is None:
            return 0.0
        now = monotonic()
        self._written.append((found["written"], now))
        while self._written and self._written[0][0] <= found["replayed"]:
            self._written.popleft()
        return now - self._written[0][1] if self._written else 0.0
