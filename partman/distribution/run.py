"""Distribute a database over the nodes of a cluster: prepare, switch, check.

The switch is one transaction. A run that is killed before its commit leaves the single server as it
was; one that is killed afterwards is completed by the next.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from partman.catalog.compare import compare
from partman.catalog.distributed_form import Layout, distributed_form, layout
from partman.catalog.model import Catalog, Constraint
from partman.catalog.read import read_catalog
from partman.database.connection import connected
from partman.database.distributed import distribution, refuse_distributed
from partman.distribution import record
from partman.distribution.cluster import listed, obstacles_of, run_on_nodes
from partman.distribution.obstacles import Obstacle, obstacles_in
from partman.distribution.session import (
    Report,
    after_lock,
    counts,
    locked_transaction,
    refuse_differences,
    report_done,
    run_recorded,
    run_statement,
    same_counts,
    session,
)
from partman.distribution.steps import DistributionStep, Where, distribute_steps, keys_to_renew
from partman.errors import ConcurrentSchemaChangeError, NotAllowedError, PreflightError
from partman.isolation import Tenancy
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

NAME = "distribute"

_OWNER = "SELECT tableowner FROM pg_tables WHERE (schemaname, tablename) = ('public', $1)"


@dataclass(frozen=True)
class DistributionPlan:
    """What would be run, and what keeps it from being run."""

    tables: Layout
    obstacles: tuple[Obstacle, ...]
    steps: tuple[DistributionStep, ...]
    owner: str
    """The role that owns the tables, as in SQL."""


@dataclass(frozen=True)
class Distributed:
    """What was done."""

    rows: dict[str, int]
    """How many rows each table has, before and after."""
    was_resumed: bool


async def plan_distribution(settings: Settings, tenancy: Tenancy) -> DistributionPlan:
    """Return the plan; changes nothing. Raises DistributedError, and the errors of connected()."""
    async with connected(settings, f"partman {NAME}") as connection:
        await refuse_distributed(connection)
        return await _plan(connection, tenancy)


async def _plan(connection: "Connection[Record]", tenancy: Tenancy) -> DistributionPlan:
    catalog = await read_catalog(connection)
    tables = layout(catalog, tenancy)
    if tables is None:
        raise NotAllowedError(
            f"The database has no table public.{tenancy.table}, so there is nothing to distribute. "
            "Nothing was done. Run the migrations first: partman migrate"
        )
    owner = await quoted_role(connection, await connection.fetchval(_OWNER, tenancy.table))
    return DistributionPlan(
        tables,
        (*await obstacles_of(connection), *obstacles_in(catalog, tables, tenancy)),
        distribute_steps(catalog, tables, tenancy, owner),
        owner,
    )


async def quoted_role(connection: "Connection[Record]", role: str) -> str:
    """Return a role's name as in SQL."""
    return str(await connection.fetchval("SELECT quote_ident($1)", role))


async def distribute(settings: Settings, tenancy: Tenancy, report: Report) -> Distributed:
    """Distribute the database, or complete a run that was interrupted.

    ``report`` gets a line for each statement. Raises DistributedError if something else has
    distributed tables or a node fails; PreflightError if something has to be changed first;
    MigrationFailedError if a statement fails, which leaves the single server as it was.
    """
    async with session(settings, NAME, report) as connection:
        if await _is_resumed(connection, report):
            return Distributed({}, was_resumed=True)
        await refuse_distributed(connection)
        plan = await _plan(connection, tenancy)
        if plan.obstacles:
            raise PreflightError(
                f"The database cannot be distributed yet. {listed(plan.obstacles)} "
                "Nothing was done."
            )
        await record.create(connection, plan.owner)
        rows: dict[str, int] = {}
        for step in plan.steps:
            report(f"{step.title}, {step.where}:")
            match step.where:
                case Where.NODES:
                    await _on_nodes(connection, step, report)
                case Where.ALONE:
                    await _indexes(connection, step, report)
                case Where.SWITCH:
                    rows = await _switch(connection, settings, tenancy, plan, report)
                case Where.AFTER:
                    await complete(connection, NAME, report)
        return Distributed(rows, was_resumed=False)


async def _is_resumed(connection: "Connection[Record]", report: Report) -> bool:
    """Whether the switch is done; complete what was left to do after it."""
    if await distribution(connection) is None:
        return False
    if not await record.pending(connection, NAME):
        raise NotAllowedError(
            "The database is distributed already. Nothing was done. See: partman drift"
        )
    await complete(connection, NAME, report)
    return True


async def _on_nodes(
    connection: "Connection[Record]", step: DistributionStep, report: Report
) -> None:
    for statement in step.statements:
        row = await record.begin(connection, NAME, step.title, statement)
        await run_on_nodes(connection, statement)
        await record.finish(connection, row)
        report_done(statement, report)


async def _indexes(
    connection: "Connection[Record]", step: DistributionStep, report: Report
) -> None:
    for index, statement in zip(step.indexes, step.statements, strict=True):
        valid = await connection.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index
        )
        if valid is False:  # left by a run that was killed
            await connection.execute(f"DROP INDEX CONCURRENTLY {index}")
        if valid:
            report_done(statement, report)
        else:
            await run_recorded(connection, NAME, step.title, statement, report)


async def _switch(
    connection: "Connection[Record]",
    settings: Settings,
    tenancy: Tenancy,
    plan: DistributionPlan,
    report: Report,
) -> dict[str, int]:
    [switch] = [step for step in plan.steps if step.where is Where.SWITCH]
    new_indexes = {index for step in plan.steps for index in step.indexes}
    moved = (*plan.tables.everywhere, *plan.tables.divided)
    async with locked_transaction(connection, settings, switch.statements):
        before = await read_catalog(connection)
        if (
            layout(before, tenancy) != plan.tables
            or distribute_steps(before, plan.tables, tenancy, plan.owner) != plan.steps
        ):
            raise ConcurrentSchemaChangeError(
                "The schema was changed while the run was under way. Nothing was distributed. Run "
                "the command again."
            )
        rows = await counts(connection, moved)
        first_truncation = next(each for each in switch.statements if "truncate_local" in each)
        for statement in after_lock(switch.statements):
            if statement == first_truncation:
                await same_counts(connection, rows, NAME)
            await run_recorded(connection, NAME, switch.title, statement, report)
        expected = _with_unchecked_keys(
            distributed_form(_without(new_indexes, before), tenancy), plan.tables
        )
        found = await read_catalog(connection, distributed=True)
        refuse_differences(compare(expected, found), NAME)
        for step in plan.steps:
            if step.where is Where.AFTER:
                for statement in step.statements:
                    await record.plan(connection, NAME, step.title, statement)
    return rows


def _without(indexes: Collection[str], catalog: Catalog) -> Catalog:
    kept = (obj for obj in catalog.objects if not (obj.kind == "index" and obj.name in indexes))
    return replace(catalog, objects=tuple(kept))


def _with_unchecked_keys(catalog: Catalog, tables: Layout) -> Catalog:
    renewed = {key.reference for key in keys_to_renew(catalog, tables)}
    return replace(
        catalog,
        objects=tuple(
            replace(obj, valid=False)
            if isinstance(obj, Constraint)
            and obj.reference in renewed
            and obj.parent.name in tables.divided
            else obj
            for obj in catalog.objects
        ),
    )


async def complete(connection: "Connection[Record]", direction: str, report: Report) -> None:
    """Run what is left after the switch."""
    for each in await record.pending(connection, direction):
        async with connection.transaction():
            await connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
            await run_statement(connection, each.statement)
            await record.finish(connection, each.id)
        report_done(each.statement, report)
