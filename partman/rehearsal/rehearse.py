"""Rehearse the pending migrations of a database on a copy with rows. The database is only read."""

from dataclasses import replace

from partman.database.connection import connected
from partman.database.distributed import refuse_distributed
from partman.errors import RehearsalError
from partman.migration.ledger import preflight
from partman.migration.ledger.status import Status, read_status
from partman.plan.server_objects import ServerObjects
from partman.rehearsal.copies import Copy, Wanted, copy_of
from partman.rehearsal.identity import Relation, relation_between
from partman.rehearsal.model import Rehearsal
from partman.rehearsal.run import Run
from partman.rehearsal.transfer import Report
from partman.settings import Settings

_NAME = "partman rehearse"


async def rehearse(
    live: Settings, scratch: Settings, wanted: Wanted, report: Report, *, back: bool = True
) -> Rehearsal:
    """Run what is pending on a copy of the database of ``live``; measure it.

    ``scratch`` is the server on which the copy is made. ``back``: also revert the migrations and
    run them again. ``report`` gets progress messages. Raises PartmanError.
    """
    if wanted.url is not None:
        other = live.on(wanted.url, "--on")
        on_live_server = await _relation(live, other) is Relation.SAME_SERVER
        server_objects = await ServerObjects.before_trial(other, is_live=on_live_server)
        async with copy_of(live, scratch, wanted, report) as copy:
            return await _on(copy, live, server_objects, report, back=back)
    if wanted.dump is None:
        await _refuse_several_nodes(live)
        status, notes = await _status(live)
        if not status.pending:
            return Rehearsal(status.version, None, notes=notes)
    is_live = scratch.database_url == live.database_url
    server_objects = await ServerObjects.before_trial(scratch, is_live=is_live)
    try:
        async with copy_of(live, scratch, wanted, report) as copy:
            found = await _on(copy, live, server_objects, report, back=back)
    finally:
        # After the copy is dropped, which may need them.
        failed = await server_objects.remove_created()
    left = [f"The rehearsal could not undo a change on the server: {text}" for text in failed]
    return replace(found, notes=(*found.notes, *left))


async def _on(
    copy: Copy, live: Settings, server_objects: ServerObjects, report: Report, *, back: bool
) -> Rehearsal:
    status, notes = await _status(copy.settings)
    run = Run(copy.settings, live, server_objects, copy.scale, report)
    migrations, not_tried = await run.forwards_and_back(status, back=back)
    return Rehearsal(
        status.version,
        copy.facts,
        tuple(migrations),
        tuple(not_tried),
        (*copy.notes, *notes),
    )


async def _refuse_several_nodes(live: Settings) -> None:
    async with connected(live, _NAME) as connection:
        await refuse_distributed(
            connection,
            instead="Name another cluster that may be changed: partman rehearse --on URL; or see "
            "partman plan, which asks all nodes",
        )


async def _status(settings: Settings) -> tuple[Status, tuple[str, ...]]:
    async with connected(settings, _NAME) as connection:
        await connection.execute("SET default_transaction_read_only = on; SET lock_timeout = '1s'")
        status = await read_status(connection)
        problems = await preflight.inspect(connection)
    return status, tuple(problem.message for problem in problems)


async def _relation(live: Settings, other: Settings) -> Relation:
    relation = await relation_between(live, other)
    if relation is Relation.SAME:
        raise RehearsalError(
            "--on names the database of the project itself, which a rehearsal would change. "
            "Nothing was done. Name a restored backup; or leave --on out, and partman makes a copy."
        )
    return relation
