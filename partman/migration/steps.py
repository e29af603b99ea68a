"""Steps of online migrations: one at a time, each recorded when it is done.

A step runs in a transaction together with its record, if the statement can run in one. If it
cannot, as CREATE INDEX CONCURRENTLY, its beginning is recorded before it and its end after it;
when only the beginning is there, the catalog is asked what became of it.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import shortened
from partman.errors import StepUncertainError
from partman.migration.caller import Migration
from partman.migration.guard import Guard, refuse
from partman.migration.observer import observed
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK_TIMEOUT_MS = 100
"""How long a step queues for a lock, and with it all who come after it. Measured on 2 million
rows with 8 clients: the clients' longest wait was 117 ms, against 7.5 s without a timeout."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

TABLE = """
CREATE TABLE IF NOT EXISTS migration_step (
    app text,
    migration text,
    backwards boolean,
    number integer,
    statement text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (app, migration, backwards, number)
);
COMMENT ON TABLE migration_step IS 'Steps of online migrations that are under way.';
"""

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
class Step:
    """What an online migration commits at once: one statement, or a few short ones."""

    migration: Migration
    number: int
    """From 1."""
    statements: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its first line, which may be a comment."""
        return self.statements[0].splitlines()[0].removeprefix("-- ")

    @property
    def text(self) -> str:
        """All of it."""
        return ";\n".join(self.statements)

    @property
    def rolled_back(self) -> str:
        """What became of the migration when it failed, as a sentence."""
        before = f" The steps before it are done, and the next run goes on with step {self.number}."
        return f"Step {self.number} was undone.{before if self.number > 1 else ''}"

    @property
    def key(self) -> tuple[str, str, bool, int]:
        """The primary key of its record."""
        return (self.migration.app, self.migration.id, self.migration.backwards, self.number)


async def forget(connection: "Connection[asyncpg.Record]", migration: Migration) -> None:
    """Delete the records of a migration that is complete: the ledger speaks for it now."""
    if await connection.fetchval("SELECT to_regclass('migration_step')") is not None:
        await connection.execute(
            "DELETE FROM migration_step WHERE (app, migration, backwards) = ($1, $2, $3)",
            migration.app,
            migration.id,
            migration.backwards,
        )


@dataclass(frozen=True)
class Record:
    """What is known of a step that has begun."""

    statement: str
    is_finished: bool


@dataclass(frozen=True)
class Interruption:
    """An online migration of which some steps were done and not the others."""

    migration: Migration
    steps: int
    """How many have begun."""


async def interruptions(connection: "Connection[asyncpg.Record]") -> list[Interruption]:
    """Return what was left half-way. Changes nothing, and needs no table to be there."""
    try:
        rows = await connection.fetch(
            "SELECT app, migration, backwards, count(*)::int AS steps FROM migration_step"
            " GROUP BY app, migration, backwards ORDER BY migration"
        )
    except asyncpg.UndefinedTableError:
        return []
    return [
        Interruption(Migration(row["app"], row["migration"], row["backwards"]), row["steps"])
        for row in rows
    ]


class Stepper:
    """Runs the steps of one online migration."""

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        settings: Settings,
        done: Mapping[int, Record],
        *,
        trusting: bool,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._done = done
        self._trusting = trusting

    @classmethod
    async def prepare(
        cls,
        connection: "Connection[asyncpg.Record]",
        settings: Settings,
        migration: Migration,
        *,
        trusting: bool,
    ) -> "Stepper":
        """Read which steps of the migration have been run before.

        ``trusting``: whether statements do what they say, for want of event triggers.
        """
        await connection.execute(TABLE)
        rows = await connection.fetch(
            "SELECT number, statement, finished_at IS NOT NULL AS is_finished FROM migration_step"
            " WHERE (app, migration, backwards) = ($1, $2, $3)",
            migration.app,
            migration.id,
            migration.backwards,
        )
        done = {row["number"]: Record(row["statement"], row["is_finished"]) for row in rows}
        return cls(connection, settings, done, trusting=trusting)

    async def run(self, step: Step) -> str:
        """Run a step, unless it is done; return what was done, in a word or two.

        Raises StepUncertainError, and asyncpg.PostgresError when the statement fails or its
        lock is not to be had for the policy's ``step_patience``.
        """
        record = self._done.get(step.number)
        if record is None:
            return await self._first_time(step)
        if record.statement != step.text:
            raise StepUncertainError(
                f"Step {step.number} of {step.migration.id} was another one when it ran: "
                f"{shortened(record.statement)}. Nothing was done. Restore the file, finish "
                "the migration, and put the change into a new one."
            )
        if record.is_finished:
            return "done before"
        return await self._after_an_interruption(step)

    async def _first_time(self, step: Step) -> str:
        try:
            await self._patiently(lambda: self._in_transaction(step))
        except _CANNOT_RUN_IN_A_TRANSACTION:
            if len(step.statements) > 1:
                raise
            await self._record(step, finished=False)
            await self._outside_transaction(step)
        return "done"

    async def _after_an_interruption(self, step: Step) -> str:
        """Prove from the catalog what became of a statement whose end nobody saw."""
        if created := _CREATE_INDEX.match(step.text):
            valid = await self._is_valid(created[1], created[2])
            if valid:
                await self._finish(step)
                return "had been done"
            await self._outside_transaction(step)
            return "had been interrupted; done again"
        if dropped := _DROP_INDEX.match(step.text):
            if await self._connection.fetchval("SELECT to_regclass($1)", dropped[1]) is None:
                await self._finish(step)
                return "had been done"
            await self._outside_transaction(step)
            return "had been interrupted; done again"
        if _REPEATABLE.match(step.text):
            await self._outside_transaction(step)
            return "had been interrupted; done again"
        raise StepUncertainError(
            f"Step {step.number} of {step.migration.id} was interrupted, and nothing tells whether "
            f"it took effect: {shortened(step.text)}. Nothing was done. Look at the database; "
            "if it did, UPDATE migration_step SET finished_at = now(), if it did not, DELETE FROM "
            f"migration_step, each WHERE migration = '{step.migration.id}' AND number = "
            f"{step.number}. Then run again."
        )

    async def _in_transaction(self, step: Step) -> None:
        await self._connection.execute(
            f"BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = 0"
        )
        try:
            guard = Guard(self._connection, trusting=self._trusting)
            for statement in step.statements:
                run = partial(self._connection.execute, statement)
                seen = observed(self._connection, statement, run, step.number)
                await guard.watch(statement, seen)
            refuse(await guard.losses(), step.migration.id, self._settings)
            await self._record(step, finished=True)
        except BaseException:
            with contextlib.suppress(asyncpg.InterfaceError, OSError):  # the connection is gone
                await self._connection.execute("ROLLBACK")
            raise
        await self._connection.execute("COMMIT")

    async def _outside_transaction(self, step: Step) -> None:
        """Run a statement that waits for others, but has nobody wait for it: without timeouts."""
        created = _CREATE_INDEX.match(step.text)
        if created:
            await self._drop_invalid(created[1], created[2])
        await self._connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        try:
            run = partial(self._connection.execute, step.text)
            await observed(self._connection, step.text, run, step.number)()
        except asyncpg.PostgresError:
            # An invalid index slows down every write, and a unique one refuses some.
            if created:
                await self._drop_invalid(created[1], created[2])
            await self._connection.execute(
                "DELETE FROM migration_step"
                " WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
                *step.key,
            )
            raise
        await self._connection.execute(self._settings.policy.timeouts)
        await self._finish(step)

    async def _patiently(self, attempt: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._settings.policy.step_patience, _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except asyncpg.LockNotAvailableError:
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _record(self, step: Step, *, finished: bool) -> None:
        await self._connection.execute(
            "INSERT INTO migration_step (app, migration, backwards, number, statement, finished_at)"
            " VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN clock_timestamp() END)",
            *step.key,
            step.text,
            finished,
        )

    async def _finish(self, step: Step) -> None:
        await self._connection.execute(
            "UPDATE migration_step SET finished_at = clock_timestamp()"
            " WHERE (app, migration, backwards, number) = ($1, $2, $3, $4)",
            *step.key,
        )

    async def _is_valid(self, index: str, table: str) -> bool | None:
        """Whether the index is there and valid; None if it is not there."""
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
