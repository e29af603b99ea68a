"""``partman distribute`` and ``undistribute``: a database over the nodes of a Citus cluster."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.errors import ExitCode, NotIsolatedError
from partman.wording import counted

if TYPE_CHECKING:
    from partman.database.engine import DatabaseEngine
    from partman.distribution.run import Distributed, DistributionPlan
    from partman.isolation import Tenancy

Plan = Annotated[
    bool, typer.Option("--plan", help="Show every statement, in its order; run nothing.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Show what has to be changed first; run nothing.")
]


def distribute(plan: Plan = False, check: Check = False, as_json: Json = False) -> None:
    """Divide the database by tenant over the nodes of a Citus cluster.

    For an installation that outgrows its server. Needs Citus 13 or newer on a coordinator, which is
    the present server, and on the workers, and a superuser in DATABASE_URL. Take a backup first.

    Roles, rights and indexes are prepared while reads and writes go on. Then one transaction locks
    the tenant tables, gives them primary keys led by the tenant, moves their rows to the nodes,
    counts them, and makes the foreign keys again. If it fails or is killed, the database is as it
    was. Checks of the foreign keys follow, without a lock. Run the command again to complete an
    interrupted run.

    The way back: `partman undistribute`.

    With --check, exit code 1 if something has to be changed first.

    Example: `partman distribute --check`

    Example: `partman distribute --plan`
    """
    from partman.distribution import run

    engine, tenancy = _project("distribute")
    if plan or check:
        found = terminal.run(run.plan_distribution(engine.settings, tenancy))
        typer.echo(_plan_json(found) if as_json else "\n".join(_plan_text(found, check)))
        raise typer.Exit(ExitCode.NO if check and found.obstacles else ExitCode.OK)
    report = typer.echo if not as_json else (lambda _: None)
    done = terminal.run(run.distribute(engine.settings, tenancy, report))
    typer.echo(_done_json(done) if as_json else "\n".join(_done_text(done, "distributed")))


def undistribute(scratch: ScratchOption = Scratch.SERVER, as_json: Json = False) -> None:
    """Bring a distributed database back to its coordinator, as a single server.

    The coordinator needs room for all rows. One transaction locks the tables, moves their rows,
    counts them, and makes the keys that the migrations declare. If it fails or is killed, the
    database stays distributed. The applied migrations are run on a scratch database, to know these
    keys.

    Example: `partman undistribute`
    """
    from partman.distribution.undistribute import undistribute as run

    engine, tenancy = _project("undistribute")
    settings = engine.settings
    report = typer.echo if not as_json else (lambda _: None)
    where = scratch_settings(settings, scratch)
    done = terminal.run(run(settings, where, tenancy, report))
    typer.echo(_done_json(done) if as_json else "\n".join(_done_text(done, "on one server")))


def _project(command: str) -> "tuple[DatabaseEngine, Tenancy]":
    from partman.database.engine import DatabaseEngine, project_engine

    engine = project_engine(DatabaseEngine)
    if engine.tenancy is None:
        raise NotIsolatedError(
            f"The engine has no tenancy, and partman {command} divides a database by tenant. "
            "Nothing was done. In piccolo_conf.py: DB = PartmanEngine(tenancy=Tenancy(...))"
        )
    return engine, engine.tenancy


def _plan_text(plan: "DistributionPlan", only_check: bool) -> Iterator[str]:
    for obstacle in plan.obstacles:
        yield f"{obstacle.object}: {obstacle.reason}"
        yield f"    {obstacle.remedy}"
    if not only_check:
        for step in plan.steps:
            yield f"-- {step.title}: {step.where}"
            yield from (f"{statement};" for statement in step.statements)
            yield ""
    yield (
        f"{counted(len(plan.tables.divided), 'table')} by tenant, "
        f"{counted(len(plan.tables.everywhere), 'table')} on every node, "
        f"{counted(len(plan.tables.local), 'table')} on the coordinator only."
    )
    yield (
        f"{counted(len(plan.obstacles), 'obstacle')}. The database cannot be distributed yet."
        if plan.obstacles
        else "Nothing stands in the way. Run it with: partman distribute"
    )


def _plan_json(plan: "DistributionPlan") -> str:
    return json.dumps(
        {
            "tables": asdict(plan.tables),
            "obstacles": [asdict(each) for each in plan.obstacles],
            "steps": [asdict(step) for step in plan.steps],
        },
        indent=2,
    )


def _done_text(done: "Distributed", word: str) -> Iterator[str]:
    if done.was_resumed:
        yield f"The interrupted run is complete: the database is {word}."
        return
    total = counted(sum(done.rows.values()), "row")
    yield f"{counted(len(done.rows), 'table')} with {total} {word}; as many rows as before."


def _done_json(done: "Distributed") -> str:
    return json.dumps({"rows": done.rows, "resumed": done.was_resumed}, indent=2)
