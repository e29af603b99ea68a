"""Tries the pending migrations of a database on a scratch database, and says what they would do.

The live database is only read.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
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
from partman.database.scratch import scratch_database
from partman.errors import MigrationFailedError, PartmanError
from partman.migration.ledger import preflight
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import MigrationState, Status, read_status
from partman.migration.runner.observer import observing
from partman.migration.runner.piccolo_commands import run_backwards, run_forwards
from partman.migration.verification.rebuild import for_a_trial, quietly, replay, working_on
from partman.plan import losses, squawk
from partman.plan.judge import judge
from partman.plan.model import Finding, Plan, PlannedMigration, Reversal
from partman.plan.recorder import Recorder
from partman.plan.server_objects import ServerObjects
from partman.plan.state import DatabaseState, look
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Report = Callable[[str], object]

_SIZES = """
SELECT oid::regclass::text AS name, pg_table_size(oid) AS size FROM pg_class
WHERE oid::regclass::text = any($1::text[])
"""


@dataclass(frozen=True)
class _Scratch:
    """The scratch database, as far as the pending migrations have been tried."""

    settings: Settings
    live: DatabaseState
    """What it had before the first of them: what the live database has."""
    shared: ServerObjects


async def make_plan(settings: Settings, where: Settings, report: Report) -> Plan:
    """Try what is pending on the settings' database.

    ``where`` says on which server scratch databases are made; ``report`` is told what is being
    done. Raises PartmanError.
    """
    async with connected(settings, "partman plan") as live:
        await live.execute("SET default_transaction_read_only = on; SET lock_timeout = '1s'")
        status = await read_status(live)
        problems = await preflight.inspect(live)
        notes = [problem.message for problem in problems]
        if not status.pending:
            return Plan(status.version, (), (), {}, tuple(notes))
        is_live = where.database_url == settings.database_url
        migrations, left = await _try_all(where, live, status, report, is_live=is_live)
        if squawk.program() is None:
            notes.append(squawk.ABSENT)
        worked_on = {work.table for one in migrations for of in one.statements for work in of.work}
        sizes = await _sizes(live, worked_on)
    migrations = [replace(one, may_lose_data=_may_lose(settings, one)) for one in migrations]
    tried = {one.key for one in migrations}
    not_tried = [one.id for one in status.pending if one.key not in tried]
    return Plan(status.version, tuple(migrations), tuple(not_tried), sizes, (*notes, *left))


async def _sizes(live: "Connection[Record]", tables: Collection[str]) -> dict[str, int]:
    """Return how many bytes the tables have; nothing where somebody has locked one of them."""
    try:
        return {row["name"]: row["size"] for row in await live.fetch(_SIZES, list(tables))}
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
) -> tuple[list[PlannedMigration], list[str]]:
    """Return the migrations, up to the first that fails, and what was left on the server."""
    tried: list[PlannedMigration] = []
    applied = {one.key for one in status.applied}
    async with connected(settings, "partman plan") as server:
        shared = await ServerObjects.note(server, is_live=is_live)
    try:
        async with scratch_database(settings) as scratch:
            report(f"Building a scratch database at version {status.version or 'none'}")
            await _bring_to_live_version(scratch, shared, status)
            async with connected(scratch, "partman plan") as connection:
                known = await look(connection)
            for pending in status.pending:
                report(f"Trying {pending.id} {pending.description}")
                done = applied | {one.key for one in tried}
                trial = _Scratch(scratch, known, shared)
                tried.append(await _try(trial, live, pending, done))
                if tried[-1].error:
                    break
    finally:
        async with connected(settings, "partman plan") as server:
            left = await shared.take_back(server)
    return tried, [f"The trial has left something on the server. {one}" for one in left]


async def _bring_to_live_version(scratch: Settings, shared: ServerObjects, status: Status) -> None:
    applied = {one.key for one in status.applied}
    try:
        with observing(shared):
            await replay(scratch, applied)
    except PartmanError as error:
        raise MigrationFailedError(
            f"What is applied cannot be built on a scratch database: {error} The live database was "
            "only read. Restore the files of the applied migrations."
        ) from error
    async with connected(scratch, "partman plan") as connection:
        # replay() takes for applied what it is not to run.
        await connection.executemany(
            "DELETE FROM migration WHERE (app_name, name) = ($1, $2)",
            [one.key for one in status.pending],
        )


async def _try(
    scratch: _Scratch,
    live: "Connection[Record]",
    pending: MigrationState,
    done: Collection[MigrationKey],
) -> PlannedMigration:
    recorder = Recorder(scratch.settings, scratch.live, scratch.shared)
    schema, before = await _look(scratch.settings)
    error = None
    try:
        with working_on(for_a_trial(scratch.settings)), quietly(), observing(recorder):
            await run_forwards(pending.app, pending.id)
    except PartmanError as raised:
        error = str(raised)
    _, after = await _look(scratch.settings)
    statements = recorder.statements
    asked = losses.questions(scratch.live, before, after, statements, recorder.emptied)
    lost = await losses.count(live, asked)
    level, reasons = judge(statements, lost)
    return PlannedMigration(
        app=pending.app,
        id=pending.id,
        description=pending.description,
        statements=statements,
        invalid_indexes=_newly_invalid(before, after),
        losses=lost,
        findings=await _findings([one.sql for one in statements], live),
        reversal=Reversal(None) if error else await _reversal(scratch, pending, done, schema),
        level=level,
        reasons=reasons,
        error=error,
    )


def _newly_invalid(before: DatabaseState, after: DatabaseState) -> tuple[str, ...]:
    was_invalid = {oid for oid, one in before.relations.items() if not one.valid}
    return tuple(
        one.name for oid, one in after.relations.items() if not one.valid and oid not in was_invalid
    )


async def _findings(statements: Sequence[str], live: "Connection[Record]") -> tuple[Finding, ...]:
    program = squawk.program()
    if program is None or not statements:
        return ()
    version = live.get_server_version().major
    return await asyncio.to_thread(partial(squawk.findings, program, statements, server=version))


async def _reversal(
    scratch: _Scratch, pending: MigrationState, done: Collection[MigrationKey], schema: Catalog
) -> Reversal:
    """Go back, on a copy: a way back that fails half-way must not be in the way of the next."""
    if any(app == pending.app and newer > pending.id for app, newer in done):
        return Reversal(None, "a newer one is applied")
    name = urlsplit(scratch.settings.database_url or "").path.removeprefix("/")
    async with scratch_database(scratch.settings, template=name) as copy:
        try:
            with working_on(for_a_trial(copy)), quietly(), observing(scratch.shared):
                await run_backwards(pending.app, pending.id)
        except PartmanError as error:
            return Reversal(False, str(error))
        async with connected(copy, "partman plan") as connection:
            differences = compare(schema, await read_catalog(connection))
    if not differences:
        return Reversal(True)
    more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    first = " ".join(headline(differences[0]).split())
    return Reversal(False, f"going back leaves a difference: {first}{more}")


async def _look(settings: Settings) -> tuple[Catalog, DatabaseState]:
    async with connected(settings, "partman plan") as connection:
        return await read_catalog(connection), await look(connection)
