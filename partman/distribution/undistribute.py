"""Bring a distributed database back to its coordinator, as a single server."""

from typing import TYPE_CHECKING

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan as remedy
from partman.catalog.distributed_form import CLEAR, distributed_form, foreign_keys, single_form
from partman.catalog.model import Catalog, Trigger
from partman.catalog.read import read_catalog
from partman.database.distributed import Distribution, own_distribution
from partman.distribution import record
from partman.distribution.run import Distributed, complete
from partman.distribution.session import (
    Report,
    counts,
    first_headlines,
    locked_transaction,
    refuse_differences,
    run_recorded,
    run_statement,
    same_counts,
    session,
)
from partman.distribution.steps import SETTINGS, drop_constraints
from partman.errors import NotAllowedError, PreflightError
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.rebuild import catalog_of_migrations
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

NAME = "undistribute"
_SWITCH = "The switch"


async def undistribute(
    settings: Settings, scratch: Settings, tenancy: Tenancy, report: Report
) -> Distributed:
    """Bring all rows back to the coordinator, and the schema to what the migrations build.

    One transaction: if it fails or is killed, the database stays distributed. ``scratch`` is the
    server on which the migrations are run, to know the original keys. Raises NotAllowedError if
    the database is not distributed, PreflightError if its schema is not what partman has made.
    """
    async with session(settings, NAME, report) as connection:
        parts = await own_distribution(connection)
        if parts is None:
            if await record.pending(connection, NAME):
                await complete(connection, NAME, report)
                return Distributed({}, was_resumed=True)
            raise NotAllowedError("The database is not distributed. Nothing was done.")
        applied = [row.key for row in await read_ledger(connection)]
        declared = await catalog_of_migrations(scratch, applied)
        # Shards that were moved or split stay on their old node for a while, with their keys.
        await run_statement(connection, "CALL citus_cleanup_orphaned_resources()")
        rows = await _switch(connection, settings, tenancy, parts, declared, report)
        await complete(connection, NAME, report)
        return Distributed(rows, was_resumed=False)


async def _switch(
    connection: "Connection[Record]",
    settings: Settings,
    tenancy: Tenancy,
    parts: Distribution,
    declared: Catalog,
    report: Report,
) -> dict[str, int]:
    moved = [*parts.tables, *parts.everywhere]
    lock = f"LOCK TABLE {', '.join(sorted([*moved, *parts.local]))} IN ACCESS EXCLUSIVE MODE"
    async with locked_transaction(connection, settings, [*SETTINGS, lock]):
        found = await read_catalog(connection, distributed=True)
        wanted = single_form(found, declared, tenancy)
        _refuse_drift(distributed_form(wanted, tenancy, found), found)
        rows = await counts(connection, [*moved, *parts.local])
        for statement in _undistributing(found, parts):
            await run_recorded(connection, NAME, _SWITCH, statement, report)
        left = await read_catalog(connection)
        for change in remedy(wanted, left).changes:
            for statement in change.forwards:
                await run_recorded(connection, NAME, _SWITCH, statement, report)
        refuse_differences(compare(wanted, await read_catalog(connection)), NAME)
        await same_counts(connection, rows, NAME)
        await record.abandon(connection, "distribute")
        for table in moved:
            await record.plan(connection, NAME, "Statistics", f"ANALYZE {table}")
    return rows


def _refuse_drift(expected: Catalog, found: Catalog) -> None:
    differences = compare(expected, found)
    if differences:
        raise PreflightError(
            "The database differs from what partman distribute has made: "
            f"{first_headlines(differences)}. Nothing was done. See: partman drift"
        )


def _undistributing(found: Catalog, parts: Distribution) -> list[str]:
    moved = {_qualified(name) for name in (*parts.tables, *parts.everywhere)}
    return [
        *(
            f"DROP TRIGGER {each.name} ON {each.parent.name}"
            for each in found.of(Trigger)
            if f" {CLEAR}(" in each.definition
        ),
        *drop_constraints(
            key
            for key in foreign_keys(found)
            if key.parent.name in moved or key.referenced_table in moved
        ),
        *(
            f"SELECT undistribute_table({literal(name)})"
            for name in (*parts.tables, *parts.everywhere)
        ),
    ]


def _qualified(name: str) -> str:
    return name if "." in name else f"public.{name}"
