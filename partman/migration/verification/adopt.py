"""Record migrations as applied in a database that equals their result."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import KEEPS_NO_STATEMENT, connected
from partman.database.explain import CONNECTION_LOST, server_message
from partman.database.like_live import like_live
from partman.database.read_only import reading
from partman.errors import (
    ConcurrentSchemaChangeError,
    DatabaseUnavailableError,
    NotAdoptableError,
    PartmanError,
    PermissionDeniedError,
    TryAgainError,
)
from partman.migration.ledger import history, records, step_records
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.history import Direction
from partman.migration.ledger.status import LedgerRow, read_ledger
from partman.migration.runner import session_setup
from partman.migration.verification.built import known_boundaries
from partman.migration.verification.live_form import LiveDatabase, read_live
from partman.migration.verification.match import NOTHING_RECORDED, Match
from partman.migration.verification.match_closely import (
    BoundaryDumps,
    completed,
    match_boundary_closely,
)
from partman.migration.verification.match_ledger import match_ledger
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.adopt")


async def adopt(
    settings: Settings,
    scratch: Settings,
    *,
    allow_extra: bool = False,
    through: str | None = None,
    dry_run: bool = False,
    strict: bool = False,
    on_migration: Callable[[MigrationFile], None] = lambda file: None,  # noqa: ARG005
) -> Match:
    """Find the migrations whose result the database equals, and record them in one transaction.

    Without a ledger, these are the migrations up to the first boundary that the database equals.
    ``through`` names a later migration that changes only rows and is to be recorded as well.

    With a ledger, these are the migrations in the ledger; those without a history are recorded.
    ``through`` names a pending migration that was run by hand.

    If the database equals no boundary, nothing is recorded and the returned match has differences.
    With ``strict``, nothing is recorded either if something could not be compared.

    ``scratch`` is the server on which the migrations are run. ``on_migration`` is called before
    each of them. Raises NotAdoptableError, PreflightError, and the errors of a run and of
    scratch_database().
    """
    scratch = await like_live(settings, scratch)
    async with _session(settings, dry_run=dry_run) as connection:
        await _refuse_interrupted(connection)
        ledger = await read_ledger(connection)
        database = await _read(connection)
        _refuse_differing_nodes(database)
        live = database.catalog
        dumps = BoundaryDumps(live)
        if ledger:
            match = await match_ledger(
                connection,
                ledger,
                live,
                scratch,
                allow_extra=allow_extra,
                through=through,
                on_migration=on_migration,
                look=dumps.look,
                form_of=database.form_of,
            )
        else:
            known = await known_boundaries(
                scratch, on_migration, look=dumps.look, form_of=database.form_of
            )
            match = await match_boundary_closely(
                scratch, live, known, allow_extra=allow_extra, through=through
            )
        match = replace(match, allows_extra=allow_extra)
        match = await completed(
            settings,
            scratch,
            match,
            dumps,
            await _me(connection),
            is_distributed=database.is_distributed,
        )
        if match.may_be_recorded(strict=strict) and not dry_run:
            await _record(connection, ledger, database, match)
    return replace(match, scratch_note=scratch.scratch_note)


@asynccontextmanager
async def _session(settings: Settings, *, dry_run: bool) -> "AsyncIterator[Connection[Record]]":
    if dry_run:
        async with reading(settings, "partman adopt") as connection:
            yield connection
        return
    async with connected(settings, "partman adopt", **KEEPS_NO_STATEMENT) as connection:
        await session_setup.prepare(connection, settings, report=logger.info)
        try:
            yield connection
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            raise _explained(error) from error


async def _refuse_interrupted(connection: "Connection[Record]") -> None:
    for left in await step_records.interruptions(connection):
        raise NotAdoptableError(
            f"{left.migration.id} was started and not finished in this database. "
            f"{NOTHING_RECORDED} Finish it: piccolo migrations forwards all"
        )


def _refuse_differing_nodes(database: LiveDatabase) -> None:
    if database.nodes:
        each = database.nodes[0]
        raise NotAdoptableError(
            f"{each.object} at {each.node}: its {each.attribute} differs from the coordinator's. "
            f"{NOTHING_RECORDED} See all that differs: partman check"
        )


async def _read(connection: "Connection[Record]") -> LiveDatabase:
    # The current user will own the ledger, because this role runs the migrations.
    return await read_live(connection, owner=await _me(connection))


async def _me(connection: "Connection[Record]") -> str:
    me: str = await connection.fetchval("SELECT current_user::text")
    return me


# Recording


async def _record(
    connection: "Connection[Record]",
    ledger: Sequence[LedgerRow],
    live: LiveDatabase,
    match: Match,
) -> None:
    before = {row.key for row in ledger}
    async with connection.transaction():
        await records.create_tables(connection)
        for file in match.migrations:
            if file.key not in before:
                await records.add_to_ledger(connection, file.key)
            await _add_to_history(connection, file)
        for grant in match.grants:
            await connection.execute(grant)
        after = {row.key for row in await read_ledger(connection)}
        # Piccolo's own engine takes no lock, so it may have run a migration in the meantime.
        expected = before | {file.key for file in match.migrations}
        if after != expected or await _read(connection) != live:
            raise ConcurrentSchemaChangeError(
                f"The schema or the ledger has changed since it was read. {NOTHING_RECORDED} Run "
                "the command again."
            )


async def _add_to_history(connection: "Connection[Record]", file: MigrationFile) -> None:
    if not await history.record(
        connection,
        migration=file.key,
        direction=Direction.ADOPTED,
        duration=timedelta(),
    ):
        raise PartmanError(
            "The server process that is about to commit does not hold the migration lock: a "
            "pooler between partman and the server switches server processes. Nothing was "
            "recorded. Connect to the server directly."
        )


def _explained(error: Exception) -> PartmanError:
    match error:
        case asyncpg.LockNotAvailableError():
            return TryAgainError(
                f"Another session holds a lock on the ledger or the history. {NOTHING_RECORDED} "
                "Run the command again later."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{error}. {NOTHING_RECORDED} Connect as the role that owns the tables and may "
                "create tables."
            )
        case _ if isinstance(error, CONNECTION_LOST):
            return DatabaseUnavailableError(
                f"The connection was lost ({error}). Either everything was recorded or nothing. "
                "Check with: partman status"
            )
    return PartmanError(
        f"The server reported an error: {server_message(error)}. {NOTHING_RECORDED}"
    )
