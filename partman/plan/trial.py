"""Try a database's pending migrations on a scratch database, and report their effects.

The live database is only read.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.catalog.render import headline
from partman.database.connection import connected
from partman.database.distributed import ROWS_ELSEWHERE, own_distribution
from partman.database.engine import DatabaseEngine, project_engine
from partman.database.like_live import like_live
from partman.database.scratch import scratch_database
from partman.distribution.cluster import listed
from partman.distribution.obstacles import new_obstacles
from partman.distribution.scratch_form import give_distributed_form
from partman.errors import MigrationFailedError, PartmanError, PreflightError
from partman.isolation import Tenancy
from partman.migration.ledger import preflight
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import MigrationState, Status, read_status
from partman.migration.runner.losses import Loss
from partman.migration.runner.observer import observing
from partman.migration.runner.piccolo_commands import run_backwards, run_forwards
from partman.migration.verification.rebuild import (
    for_a_trial,
    quietly,
    read_migrated,
    read_migrated_over,
    replay,
    working_on,
)
from partman.plan import live_rows, losses, squawk
from partman.plan.conversions import conversions, labels_in_use
from partman.plan.hidden_code import python_code
from partman.plan.judge import judge
from partman.plan.model import Finding, Plan, PlannedMigration, Reversal, Unseen
from partman.plan.recorder import Recorder
from partman.plan.server_objects import ServerObjects
from partman.plan.state import DatabaseState, read_state
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Report = Callable[[str], object]

_SIZES = """
SELECT oid::regclass::text AS name, {size} AS size FROM pg_class
WHERE oid::regclass::text = any($1::text[])
"""
_SIZE = "pg_table_size(oid)"
_SIZE_ON_ALL_NODES = f"""CASE WHEN EXISTS (
    SELECT FROM pg_dist_partition WHERE logicalrelid = pg_class.oid AND {ROWS_ELSEWHERE}
) THEN citus_table_size(oid) ELSE {_SIZE} END"""

_ON_ONE_SERVER = (
    "The database is distributed. The migrations were tried on one server, with the keys that the "
    "distributed form has; the run takes the locks, and does the work, on every node."
)


@dataclass(frozen=True)
class _Trial:
    """The scratch database on which the pending migrations run one after the other."""

    settings: Settings
    live: DatabaseState
    """Its state before the first pending migration, which is that of the live database."""
    server_objects: ServerObjects
    rows_seen: bool
    """Whether the live database has rows, other than those that the applied migrations insert."""
    time_zone: str
    """That of the live database's sessions."""
    divided_by: Tenancy | None
    """By whose tenants the live database is distributed; None for a single server."""
    is_the_last: bool
    """Whether no other migration is tried after this one."""


async def make_plan(settings: Settings, scratch_server: Settings, report: Report) -> Plan:
    """Try the migrations that are pending on the database of ``settings``.

    Scratch databases are created on ``scratch_server``. ``report`` gets progress messages. Raises
    PartmanError.
    """
    async with connected(settings, "partman plan") as live:
        await live.execute("SET default_transaction_read_only = on; SET lock_timeout = '1s'")
        divided_by = await _divided_by(live)
        status = await read_status(live)
        problems = await preflight.inspect(live)
        notes = [problem.message for problem in problems]
        if not status.pending:
            return Plan(status.version, (), (), {}, tuple(notes))
        is_live = scratch_server.database_url == settings.database_url
        scratch_server = await like_live(settings, scratch_server)
        if scratch_server.scratch_note:
            notes.append(scratch_server.scratch_note)
        if divided_by:
            notes.append(_ON_ONE_SERVER)
        migrations, not_removed, rows_seen = await _try_all(
            scratch_server, live, status, report, is_live=is_live, divided_by=divided_by
        )
        if squawk.program() is None:
            notes.append(squawk.NOT_INSTALLED)
        tables = {
            work.table
            for migration in migrations
            for statement in migration.statements
            for work in statement.work
        }
        sizes = await _sizes(live, tables, _SIZE_ON_ALL_NODES if divided_by else _SIZE)
    migrations = [
        replace(migration, may_lose_data=_may_lose(settings, migration)) for migration in migrations
    ]
    tried = {migration.key for migration in migrations}
    not_tried = [pending.id for pending in status.pending if pending.key not in tried]
    return Plan(
        status.version,
        tuple(migrations),
        tuple(not_tried),
        sizes,
        (*notes, *not_removed),
        rows_seen=rows_seen,
    )


async def _divided_by(live: "Connection[Record]") -> Tenancy | None:
    if await own_distribution(live) is None:
        return None
    return project_engine(DatabaseEngine).tenancy


async def _sizes(live: "Connection[Record]", tables: Collection[str], size: str) -> dict[str, int]:
    """Return the tables' sizes in bytes, without indexes; none of them if one is locked."""
    try:
        rows = await live.fetch(_SIZES.format(size=size), list(tables))
        return {row["name"]: row["size"] for row in rows}
    except asyncpg.PostgresError:
        return {}


def _may_lose(settings: Settings, migration: PlannedMigration) -> bool:
    return settings.policy.data_loss or migration.id in settings.data_loss_in


async def _try_all(
    settings: Settings,
    live: "Connection[Record]",
    status: Status,
    report: Report,
    *,
    is_live: bool,
    divided_by: Tenancy | None,
) -> tuple[list[PlannedMigration], list[str], bool]:
    """Return the migrations up to the first that fails, and notes on what was not cleaned up.

    The third value is whether the live database has rows.
    """
    tried: list[PlannedMigration] = []
    rows_seen = False
    applied = {migration.key for migration in status.applied}
    server_objects = await ServerObjects.before_trial(settings, is_live=is_live)
    try:
        async with scratch_database(settings) as scratch:
            report(f"Building a scratch database at version {status.version or 'none'}")
            await _replay_applied(scratch, server_objects, status)
            if divided_by:
                await give_distributed_form(scratch, divided_by)
            async with connected(scratch, "partman plan") as connection:
                state = await read_state(connection)
                rows_seen = await live_rows.has_rows_of_its_own(live, connection, state)
                zone: str = await connection.fetchval("SHOW timezone")
            for pending in status.pending:
                report(f"Trying {pending.id} {pending.description}")
                before = applied | {migration.key for migration in tried}
                trial = _Trial(
                    scratch,
                    state,
                    server_objects,
                    rows_seen,
                    zone,
                    divided_by,
                    is_the_last=pending is status.pending[-1],
                )
                tried.append(await _try(trial, live, pending, before))
                if tried[-1].error:
                    break
    finally:
        failed = await server_objects.remove_created()
    notes = [f"The trial could not undo a change on the server: {text}" for text in failed]
    return tried, notes, rows_seen


async def _replay_applied(scratch: Settings, server_objects: ServerObjects, status: Status) -> None:
    applied = {migration.key for migration in status.applied}
    try:
        with observing(server_objects):
            await replay(scratch, applied)
    except PreflightError:
        raise  # it names a file, which need not be an applied migration's
    except PartmanError as error:
        raise MigrationFailedError(
            f"The applied migrations fail on a scratch database: {error} The live database was "
            "only read. Restore the files of the applied migrations."
        ) from error


async def _try(
    trial: _Trial,
    live: "Connection[Record]",
    pending: MigrationState,
    applied: Collection[MigrationKey],
) -> PlannedMigration:
    recorder = Recorder(trial.settings, trial.live, trial.server_objects, rows_seen=trial.rows_seen)
    is_last = not any(app == pending.app and newer > pending.id for app, newer in applied)
    error = None
    unseen: list[Unseen] = []
    # Closed before the database is copied for the reversal.
    async with connected(trial.settings, "partman plan") as connection:
        built = None
        if is_last or trial.divided_by:
            built = await read_migrated_over(connection, trial.settings, applied)
        before = await read_state(connection)
        try:
            with working_on(for_a_trial(trial.settings)), quietly():
                unseen += await python_code(pending.key)
                with observing(recorder):
                    await run_forwards(pending.app, pending.id)
        except PartmanError as raised:
            error = str(raised)
        if built and trial.divided_by and not error:
            error = await _refused_by_citus(connection, built, trial.divided_by)
        after = await read_state(connection)
    schema = built if is_last else None
    statements, structural = recorder.statements, list[Loss]()
    if trial.rows_seen:
        statements = tuple([await live_rows.with_portion(live, each) for each in statements])
    else:
        structural = losses.structural_losses(before, after, statements, recorder.emptied)
    queries = losses.loss_queries(trial.live, before, after, statements, recorder.emptied)
    lost = await losses.count_losses(live, queries)
    unseen += await labels_in_use(live, trial.live, before, after)
    level, reasons = judge(statements, [*lost, *structural], unseen)
    return PlannedMigration(
        app=pending.app,
        id=pending.id,
        description=pending.description,
        statements=statements,
        invalid_indexes=_newly_invalid(before, after),
        losses=lost,
        structural_losses=tuple(structural),
        unseen=tuple(unseen),
        conversions=tuple(conversions(trial.live, before, after, statements, trial.time_zone)),
        findings=await _findings([statement.sql for statement in statements], live),
        reversal=await _reversal(trial, pending, applied, schema) if not error else Reversal(None),
        level=level,
        reasons=reasons,
        error=error,
    )


async def _refused_by_citus(
    connection: "Connection[Record]", before: Catalog, tenancy: Tenancy
) -> str | None:
    found = new_obstacles(before, await read_catalog(connection), tenancy)
    return f"On the nodes: {listed(found)}" if found else None


def _newly_invalid(before: DatabaseState, after: DatabaseState) -> tuple[str, ...]:
    invalid_before = {oid for oid, index in before.relations.items() if not index.valid}
    return tuple(
        index.name
        for oid, index in after.relations.items()
        if not index.valid and oid not in invalid_before
    )


async def _findings(statements: Sequence[str], live: "Connection[Record]") -> tuple[Finding, ...]:
    program = squawk.program()
    if program is None or not statements:
        return ()
    version = live.get_server_version().major
    return await asyncio.to_thread(partial(squawk.findings, program, statements, server=version))


async def _reversal(
    trial: _Trial,
    pending: MigrationState,
    applied: Collection[MigrationKey],
    schema: Catalog | None,
) -> Reversal:
    """Revert, on a copy unless it is the last: a failure must not affect the next one's trial.

    ``schema`` is the one from before the migration; None if reverting it would revert others, too.
    """
    if schema is None:
        return Reversal(None, "a newer migration is applied")
    name = urlsplit(trial.settings.database_url or "").path.removeprefix("/")
    async with (
        nullcontext(trial.settings)
        if trial.is_the_last
        else scratch_database(trial.settings, template=name)
    ) as database:
        try:
            with working_on(for_a_trial(database)), quietly(), observing(trial.server_objects):
                await run_backwards(pending.app, pending.id)
        except PartmanError as error:
            return Reversal(False, str(error))
        differences = compare(schema, await read_migrated(database, applied))
    if not differences:
        return Reversal(True)
    more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    first = " ".join(headline(differences[0]).split())
    return Reversal(False, f"reverting leaves a difference: {first}{more}")
