"""Whether the database is what this code expects, cheaply enough to be asked every second.

The whole ledger and history are read only when the fingerprint is another than the last time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.migration.ledger import preflight
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import schema_version
from partman.migration.ledger.lock import HELD_BY_ANYBODY
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import Status, read_status

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class Reason(StrEnum):
    """Why a database is not ready for this code."""

    UNREACHABLE = "unreachable"
    """It does not answer, or does not let us in."""
    UNREADABLE = "unreadable"
    """It answers, but the role may not read the ledger."""
    DRIFTED = "drifted"
    """Ledger, history and files contradict each other."""
    AHEAD = "ahead"
    """The ledger has migrations that are newer than this code."""
    MIGRATING = "migrating"
    """A run is under way, and has done some steps of an online migration."""
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
_STEP = "app, migration, backwards, number"
_FINGERPRINTS = {
    bookkeeping.LEDGER: "SELECT sha256(convert_to("
    "string_agg(app_name || ' ' || name, ',' ORDER BY id), 'UTF8')) FROM public.migration",
    bookkeeping.HISTORY: "SELECT (max(id), max(id) FILTER (WHERE outcome <> 'running'))::text"
    " FROM public.migration_history",
    bookkeeping.STEPS: f"SELECT string_agg(concat_ws(' ', {_STEP}), ',' ORDER BY {_STEP})"
    " FROM public.migration_step",
}
_TRIES = 5
"""How often everything is read again because a run has changed it in the meantime."""

_Fingerprint = tuple[object, ...]


class Watch:
    """Looks at one database again and again; the files are those of the beginning."""

    def __init__(self, files: list[MigrationFile] | None = None) -> None:
        self._files = migration_files() if files is None else files
        self._tables: tuple[str, ...] = bookkeeping.TABLES
        self._last: tuple[_Fingerprint, Readiness] | None = None

    @property
    def expected(self) -> str | None:
        """The version that the files lead to."""
        return _expected(self._files)

    async def look(self, connection: "Connection[Record]") -> Readiness:
        """Return how it stands. Changes nothing, and needs no ledger to be there.

        Raises asyncpg.PostgresError.
        """
        for _ in range(_TRIES):
            before = await self._fingerprint(connection)
            if self._last is not None and self._last[0] == before:
                return self._last[1]
            readiness = await self._read(connection, under_way(before))
            # Otherwise a part of it may be from before a commit, and a part from after it.
            if await self._fingerprint(connection) == before:
                self._last = before, readiness
                return readiness
        return self.failed(Reason.MIGRATING, "A run is under way, and changes the ledger.")

    def failed(self, reason: Reason, detail: str) -> Readiness:
        """Return that it could not be read."""
        return Readiness(reason, detail, self.expected)

    async def _read(self, connection: "Connection[Record]", running: bool) -> Readiness:
        status = await read_status(connection, self._files)
        problems = await preflight.inspect(connection, self._files)
        return judge(self._files, status, problems, running=running)

    async def _fingerprint(self, connection: "Connection[Record]") -> _Fingerprint:
        """Return a value that is equal as long as ledger, history and steps are."""
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
                return tuple(row)
            self._tables = there
        raise asyncpg.UndefinedTableError(f"one of {', '.join(bookkeeping.TABLES)} comes and goes")


def under_way(fingerprint: _Fingerprint) -> bool:
    """Whether it is of a database where a run has done some steps."""
    return fingerprint[-1] is True


def judge(
    files: list[MigrationFile], status: Status, problems: list[Problem], *, running: bool
) -> Readiness:
    """Say what follows from what was found; ``running``: whether somebody holds the run's lock."""
    expected = _expected(files)
    newest = {file.app: file.id for file in sorted(files, key=lambda file: file.id)}
    ahead = [p for p in problems if p.kind == "missing" and p.migration > newest.get(p.app, "")]
    steps = [p for p in problems if p.kind == "interrupted" and running]
    wrong = [p for p in problems if p not in ahead and p not in steps and p.kind not in NOTES]
    if wrong:
        reason, detail = Reason.DRIFTED, " ".join(problem.message for problem in wrong)
    elif ahead:
        reason, detail = Reason.AHEAD, " ".join(problem.message for problem in ahead)
    elif steps:
        names = ", ".join(problem.migration for problem in steps)
        reason, detail = Reason.MIGRATING, f"A run is under way: {names}."
    elif status.pending:
        names = ", ".join(state.id for state in status.pending)
        reason, detail = Reason.PENDING, f"{len(status.pending)} pending: {names}."
    else:
        return Readiness(
            None, f"The schema version is {status.version}.", expected, status, tuple(problems)
        )
    return Readiness(reason, detail, expected, status, tuple(problems))


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
    # Asked only while there are steps: it looks at the locks of the whole server.
    steps = bookkeeping.STEPS in tables
    running = f"(SELECT {HELD_BY_ANYBODY} WHERE EXISTS (SELECT FROM public.migration_step))"
    return f"SELECT {', '.join([*there, *values, running if steps else 'NULL::boolean'])}"
