"""A database that was there before: proven equal to a migration's result, then recorded as such."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
from piccolo.apps.migrations.tables import Migration as LedgerTable

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.model import Catalog
from partman.catalog.python_defaults import mark_as_in
from partman.catalog.read import read_catalog
from partman.database.connection import connected
from partman.database.explain import CONNECTION_LOST, server_message
from partman.database.read_only import reading
from partman.errors import (
    ConcurrentSchemaChangeError,
    DatabaseUnavailableError,
    NotAdoptableError,
    PartmanError,
    PermissionDeniedError,
    TryAgainError,
)
from partman.migration.ledger import history, step_records
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.history import Direction
from partman.migration.ledger.status import read_ledger
from partman.migration.runner import session_setup
from partman.migration.verification.rebuild import Boundary, boundaries
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.adopt")

_NOTHING = "The database is as it was; nothing was recorded."


@dataclass(frozen=True)
class Match:
    """How a database stands to what the migrations build."""

    boundary: MigrationFile
    """The migration whose result it equals or, where it equals none, comes nearest to."""
    expected: Catalog
    """What the migrations up to the boundary build."""
    found: Catalog
    """What the database has."""
    differences: tuple[Difference, ...]
    """Why it is not equal. Nothing is recorded while there is one."""
    extra: tuple[Difference, ...]
    """What only the live database has, where that was allowed."""
    migrations: tuple[MigrationFile, ...]
    """Those up to the boundary, which are to be recorded."""
    unproven: tuple[MigrationFile, ...]
    """Those of them that change rows only: that they were run shows in no catalog."""
    pending: tuple[MigrationFile, ...]
    """Those after it that change rows only: the catalog equals their result, too. They are not
    recorded, so the next run runs them."""


@dataclass(frozen=True)
class _Trial:
    """A boundary, held against the live database."""

    number: int
    """Its place among the boundaries; 0 is the one before the first migration."""
    differences: list[Difference]


async def adopt(
    settings: Settings,
    scratch: Settings,
    *,
    allow_extra: bool = False,
    through: str | None = None,
    dry_run: bool = False,
    on_migration: Callable[[MigrationFile], None] = lambda file: None,  # noqa: ARG005
) -> Match:
    """Find the migration whose result the database is, and record all up to it, at once.

    Where it is none's, nothing is recorded, and what is returned has differences. ``through`` names
    a migration that changes rows only, to have it recorded, too. ``scratch`` says on which server
    the migrations are run, and ``on_migration`` is told of each before.

    Raises NotAdoptableError, and what a run and scratch_database() raise.
    """
    async with _session(settings, dry_run=dry_run) as connection:
        await _refuse_recorded(connection)
        live = await _read(connection)
        known = await boundaries(scratch, on_migration)
        match, number = _match(live, known, allow_extra=allow_extra, through=through)
        if not match.differences and not dry_run:
            await _record(connection, live, match, known[number].grants)
    return match


@asynccontextmanager
async def _session(settings: Settings, *, dry_run: bool) -> "AsyncIterator[Connection[Record]]":
    if dry_run:
        async with reading(settings, "partman adopt") as connection:
            yield connection
        return
    # A plan made for a table before it was created would be refused.
    async with connected(settings, "partman adopt", statement_cache_size=0) as connection:
        await session_setup.prepare(connection, settings, report=logger.info)
        # It has nothing to do while the scratch database is built.
        await connection.execute("SET idle_session_timeout = 0")
        try:
            yield connection
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            raise _explained(error) from error


async def _refuse_recorded(connection: "Connection[Record]") -> None:
    if rows := await read_ledger(connection):
        raise NotAdoptableError(
            f"The ledger has {counted(len(rows), 'migration')}, the "
            f"last is {rows[-1].id}: this database is migrated already, and not one to adopt. "
            "Nothing was recorded. To hold it against its migrations, type: partman drift"
        )
    for left in await step_records.interruptions(connection):
        raise NotAdoptableError(
            f"{left.migration.id} was begun and not finished here. {_NOTHING} Finish it: "
            "piccolo migrations forwards all"
        )


async def _read(connection: "Connection[Record]") -> Catalog:
    # The ledger will be ours, and its owner is whoever migrates.
    me = await connection.fetchval("SELECT current_user::text")
    return await read_catalog(connection, owner=me)


# Which boundary it is


def _match(
    live: Catalog, known: Sequence[Boundary], *, allow_extra: bool, through: str | None
) -> tuple[Match, int]:
    if not compare(known[0].catalog, live):
        raise NotAdoptableError(
            "There is nothing in this database that a migration would have made. Nothing was "
            "recorded. Type: piccolo migrations forwards all"
        )
    trials = [
        _Trial(number, compare(boundary.catalog, mark_as_in(live, boundary.catalog)))
        for number, boundary in enumerate(known)
        if boundary.migration is not None
    ]
    if not trials:
        raise NotAdoptableError(f"There are no migrations to adopt it to. {_NOTHING}")
    proven = [one for one in trials if not _hindrances(one, allow_extra=allow_extra)]
    # Of equals the first: what changes rows only leaves no trace to go by, and is still to run.
    best = min(proven or trials, key=lambda trial: len(trial.differences))
    number = _through(through, best.number, known) if proven else best.number
    return _described(live, known, best, number, is_proven=bool(proven)), number


def _hindrances(trial: _Trial, *, allow_extra: bool) -> list[Difference]:
    return [one for one in trial.differences if not (allow_extra and one.verdict is Verdict.EXTRA)]


def _through(migration: str | None, best: int, known: Sequence[Boundary]) -> int:
    """Return the number of the boundary that was asked for, which has to be an equal one."""
    if migration is None:
        return best
    equals = [best, *_equal_after(best, known)]
    for number in equals:
        if (file := known[number].migration) and file.id == migration:
            return number
    ids = ", ".join(file.id for number in equals if (file := known[number].migration))
    raise NotAdoptableError(
        f"The database is not what {migration} builds. {_NOTHING} It can be recorded through: {ids}"
    )


def _equal_after(number: int, known: Sequence[Boundary]) -> list[int]:
    """Return the boundaries that follow, as long as no catalog tells them from this one."""
    equal = []
    for later in range(number + 1, len(known)):
        if known[later].catalog != known[number].catalog:
            break
        equal.append(later)
    return equal


def _described(
    live: Catalog, known: Sequence[Boundary], best: _Trial, number: int, *, is_proven: bool
) -> Match:
    files = [boundary.migration for boundary in known]
    boundary = files[number]
    assert boundary is not None
    return Match(
        boundary=boundary,
        expected=known[number].catalog,
        found=mark_as_in(live, known[number].catalog),
        differences=() if is_proven else tuple(best.differences),
        extra=tuple(best.differences) if is_proven else (),
        migrations=tuple(file for file in files[: number + 1] if file),
        unproven=tuple(
            file
            for place, file in enumerate(files[: number + 1])
            if file and known[place].catalog == known[place - 1].catalog
        ),
        pending=tuple(
            file for place in _equal_after(number, known) if (file := files[place]) is not None
        ),
    )


# How it is recorded


async def _record(
    connection: "Connection[Record]", live: Catalog, match: Match, grants: Sequence[str]
) -> None:
    async with connection.transaction():
        await _create_bookkeeping(connection)
        for file in match.migrations:
            await _record_one(connection, file)
        for grant in grants:
            await connection.execute(grant)
        if await _read(connection) != live:
            raise ConcurrentSchemaChangeError(
                f"The schema was changed since it was read. {_NOTHING} Type the command again."
            )


async def _create_bookkeeping(connection: "Connection[Record]") -> None:
    for statement in LedgerTable.create_table(if_not_exists=True).ddl:
        await connection.execute(statement)
    if await connection.fetchval("SELECT to_regclass('migration_history')") is None:
        await connection.execute(history.TABLE)
    if await connection.fetchval("SELECT to_regclass('migration_step')") is None:
        await connection.execute(step_records.TABLE)


async def _record_one(connection: "Connection[Record]", file: MigrationFile) -> None:
    await connection.execute(
        "INSERT INTO migration (name, app_name, ran_on) VALUES ($1, $2, $3)",
        file.id,
        file.app,
        # As Piccolo does, in local time; it undoes migrations in the order of their times.
        datetime.now(),
    )
    if not await history.record(
        connection,
        migration=file.key,
        direction=Direction.ADOPTED,
        duration=timedelta(),
    ):
        raise PartmanError(
            "The migration lock is not held by the server process that is about to commit: "
            "something between us and the server changes server processes. Nothing was recorded. "
            "Connect to the server directly."
        )


def _explained(error: Exception) -> PartmanError:
    match error:
        case asyncpg.LockNotAvailableError():
            return TryAgainError(
                f"Somebody holds the ledger or the history. {_NOTHING} Type the command again "
                "later."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{error}. {_NOTHING} Use the role that owns the tables, and may create some."
            )
        case _ if isinstance(error, CONNECTION_LOST):
            return DatabaseUnavailableError(
                f"The connection was lost ({error}). Either all of it is recorded, or nothing: "
                "`partman status` will tell."
            )
    return PartmanError(f"The server refused: {server_message(error)}. {_NOTHING}")
