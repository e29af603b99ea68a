"""Whether the database is what this code expects, cheaply enough to be asked every second.

The whole ledger and history are read only when the fingerprint is another than the last time, and
the fingerprint only when a transaction has been committed since. That is what a snapshot says:
every statement with an equal one, of the same server process, sees the same rows and catalogs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping, distributed
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import schema_version
from partman.migration.ledger.lock import HELD_BY_ANYBODY
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import Status
from partman.migration.ledger.timeline import Item, State, Timeline, read_timeline

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class Reason(StrEnum):
    """Why a database is not ready for this code."""

    UNREACHABLE = "unreachable"
    """It does not answer, or does not let us in."""
    UNREADABLE = "unreadable"
    """It answers, but the role may not read the ledger."""
    DISTRIBUTED = "distributed"
    """Something else than ``partman distribute`` has distributed tables of the database."""
    DRIFTED = "drifted"
    """Ledger, history and files contradict each other."""
    AHEAD = "ahead"
    """The ledger has migrations that are newer than this code."""
    MIGRATING = "migrating"
    """A run of a migration is under way."""
    PENDING = "pending"
    """Migrations of this code have not been run."""


@dataclass(frozen=True)
class Readiness:
    """What was found of a database."""

    reason: Reason | None
    """None when it is ready."""
    detail: str
    """One line about it."""
    expected: str | None
    """The version that the files lead to."""
    status: Status | None = None
    """None when it could not be read."""
    problems: tuple[Problem, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether this code can work with the database."""
        return self.reason is None


NOTES = frozenset({"unrecorded"})
"""Kinds of problems that do not speak against a database: stock Piccolo, too, leaves a ledger that
says what was run, and no history."""

_HIDDEN = """
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND c.relkind = 'r' AND NOT has_schema_privilege(n.oid, 'USAGE')
"""
_STEP = "app, migration, backwards, number, finished_at"
_FINGERPRINTS = {
    bookkeeping.LEDGER: "SELECT (count(*),"
    " bit_xor(hashtextextended(name, hashtextextended(app_name, id))))::text FROM public.migration",
    bookkeeping.HISTORY: "SELECT (max(id), max(id) FILTER (WHERE outcome <> 'running'))::text"
    " FROM public.migration_history",
    bookkeeping.STEPS: f"SELECT string_agg(concat_ws(' ', {_STEP}), ',' ORDER BY {_STEP})"
    " FROM public.migration_step",
}
_BEGUN = {
    bookkeeping.HISTORY: "SELECT FROM public.migration_history WHERE outcome = 'running'",
    bookkeeping.STEPS: "SELECT FROM public.migration_step",
}
"""What is left of a run that has not ended, or was killed."""
_SNAPSHOT = """
CASE WHEN NOT pg_is_in_recovery()
THEN pg_backend_pid()::text || ' ' || pg_current_snapshot()::text END
"""
"""NULL on a standby: there a snapshot's text leaves out which transactions are running, so it may
stay the same when one is committed.
"""
READ_SNAPSHOT = f"SELECT {_SNAPSHOT}"
"""What a probe sends as long as nothing is committed."""
_TRIES = 5
"""How often everything is read again because a run has changed it in the meantime."""

_Fingerprint = tuple[object, ...]


@dataclass(frozen=True)
class _Seen:
    """What the last question has found."""

    fingerprint: _Fingerprint
    readiness: Readiness
    snapshot: str | None
    """That of the fingerprint; None if the answer may change without a commit."""
    quiet: bool = True
    """Whether it is likely that no transaction is committed before the next question."""


class Watch:
    """Looks at one database again and again; the files are those of the beginning."""

    def __init__(self, files: list[MigrationFile] | None = None) -> None:
        self._files = migration_files() if files is None else files
        self._tables: tuple[str, ...] = bookkeeping.TABLES
        self._last: _Seen | None = None

    @property
    def expected(self) -> str | None:
        """The version that the files lead to."""
        return _expected(self._files)

    async def look(self, connection: "Connection[Record]") -> Readiness:
        """Return how it stands. Changes nothing, and needs no ledger to be there.

        Raises asyncpg.PostgresError.
        """
        seen = self._last
        if (
            seen is not None
            and seen.quiet
            and seen.snapshot is not None
            and seen.snapshot == await connection.fetchval(READ_SNAPSHOT)
        ):
            return seen.readiness
        for _ in range(_TRIES):
            snapshot, before = await self._fingerprint(connection)
            if seen is not None and seen.fingerprint == before:
                # Where others commit all the time, asking for the snapshot alone is for nothing.
                quiet = snapshot == seen.snapshot
                self._last = _Seen(before, seen.readiness, snapshot, quiet)
                return seen.readiness
            readiness = await self._read(connection)
            # Otherwise a part of it may be from before a commit, and a part from after it.
            if (await self._fingerprint(connection))[1] == before:
                self._last = _Seen(before, readiness, snapshot)
                return readiness
        return self.failed(Reason.MIGRATING, "A run is under way, and changes the ledger.")

    async def _read(self, connection: "Connection[Record]") -> Readiness:
        tables = await distributed.distributed_tables(connection)
        if tables and await distributed.distribution(connection) is None:
            return self.failed(Reason.DISTRIBUTED, distributed.described(tables))
        return judge(self._files, await read_timeline(connection, self._files))

    def failed(self, reason: Reason, detail: str) -> Readiness:
        """Return that it could not be read."""
        return Readiness(reason, detail, self.expected)

    async def _fingerprint(
        self, connection: "Connection[Record]"
    ) -> tuple[str | None, _Fingerprint]:
        """Return a snapshot, and a value that is equal as long as ledger, history and steps are."""
        for _ in range(_TRIES):
            try:
                row = await connection.fetchrow(_query(self._tables))
            except asyncpg.UndefinedTableError:
                self._tables = ()
                continue
            assert row is not None
            there = tuple(name for name in bookkeeping.TABLES if row[f"has_{name}"])
            if there == self._tables:
                await _refuse_hidden(connection, there)
                # A run that ends, or is killed, frees its lock without a commit.
                snapshot = None if row["begun"] else row["snapshot"]
                found: _Fingerprint = tuple(row)[1:]
                if row["has_citus"]:
                    found += await self._form(connection)
                return snapshot, found
            self._tables = there
        raise asyncpg.UndefinedTableError(f"one of {', '.join(bookkeeping.TABLES)} comes and goes")

    async def _form(self, connection: "Connection[Record]") -> tuple[object, ...]:
        """Return how the database is distributed, by whatever has done it."""
        if found := await distributed.distribution(connection):
            return (found,)
        return tuple(await distributed.distributed_tables(connection))


def judge(files: list[MigrationFile], timeline: Timeline) -> Readiness:
    """Say what follows from what was found."""
    expected, status, problems = _expected(files), timeline.status, timeline.problems
    newest = {file.app: file.id for file in sorted(files, key=lambda file: file.id)}
    ahead = [p for p in problems if p.kind == "missing" and p.migration > newest.get(p.app, "")]
    wrong = [p for p in problems if p not in ahead and p.kind not in NOTES]
    running = [item for item in timeline.items if item.state is State.RUNNING]
    pending = [item for item in timeline.items if item.migration.applied_at is None]
    if wrong:
        reason, detail = Reason.DRIFTED, " ".join(problem.message for problem in wrong)
    elif ahead:
        reason, detail = Reason.AHEAD, " ".join(problem.message for problem in ahead)
    elif running:
        reason = Reason.MIGRATING
        detail = f"A run is under way: {', '.join(map(_named, running))}."
    elif pending:
        reason = Reason.PENDING
        detail = f"{len(pending)} pending: {', '.join(map(_named, pending))}."
    else:
        return Readiness(
            None,
            f"The schema version is {status.version}.",
            expected,
            status,
            timeline.all_problems,
        )
    return Readiness(reason, detail, expected, status, timeline.all_problems)


def _named(item: Item) -> str:
    """Return the migration with how it stands, and nothing of its error: anybody may ask."""
    if item.state is State.RUNNING:
        place = f" (step {item.step} of {item.steps})" if item.steps else ""
        return f"{item.migration.id}{place}"
    told = item.state in (State.FAILED, State.KILLED)
    return f"{item.migration.id}{f' ({item.state})' if told else ''}"


def _expected(files: list[MigrationFile]) -> str | None:
    return schema_version((file.key for file in files), apps=len({file.app for file in files}))


async def _refuse_hidden(connection: "Connection[Record]", there: tuple[str, ...]) -> None:
    """Raise InsufficientPrivilegeError if there is a ledger, but this role cannot see it."""
    if bookkeeping.LEDGER not in there and (
        hidden := await connection.fetchval(_HIDDEN, bookkeeping.LEDGER)
    ):
        raise asyncpg.InsufficientPrivilegeError(f"permission denied for schema {hidden}")


def _query(tables: tuple[str, ...]) -> str:
    """Return the statement that reads the fingerprint, of the tables that are there."""
    there = [
        f"to_regclass('public.{name}') IS NOT NULL AS has_{name}" for name in bookkeeping.TABLES
    ]
    values = [f"({_FINGERPRINTS[name]}) AS {name}" for name in tables]
    begun = " OR ".join(f"EXISTS ({_BEGUN[name]})" for name in tables if name in _BEGUN) or "false"
    # Asked only while there is such a row: it looks at the locks of the whole server.
    running = f"(SELECT {HELD_BY_ANYBODY} WHERE {begun})"
    citus = f"{distributed.HAS_CITUS} AS has_citus"
    first, last = f"{_SNAPSHOT} AS snapshot", f"({begun}) AS begun"
    return f"SELECT {', '.join([first, *there, *values, running, citus, last])}"
