"""``partman seed``: development data, on request only."""

import gc
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli.confirmation import confirm
from partman.database.project_settings import project_settings
from partman.errors import PartmanError
from partman.logs import configure_logging
from partman.progress import Progress
from partman.project import enter
from partman.settings import Settings, log_format
from seeds.identity import MAX_SEED

if TYPE_CHECKING:
    from seeds.generate import SeedPlan
    from seeds.load import Counts, Seeding, SeedStatus

logger = logging.getLogger("seeds")

_ORGANIZATIONS, _OPPORTUNITIES = 3, 300
_INSERTING = "Inserting opportunities"

app = typer.Typer(
    help="Development data: insert, count and remove it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run ``python -m seeds``. A PartmanError becomes one line and its exit code."""
    try:
        enter()
        configure_logging(log_format())
        app(prog_name="python -m seeds")
    except PartmanError as error:
        print(f"partman: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
def dev(
    context: typer.Context,
    organizations: Annotated[
        int,
        typer.Option(
            min=1,
            max=100_000,
            help="Number of organizations with data, including the default organization.",
        ),
    ] = _ORGANIZATIONS,
    opportunities: Annotated[
        int,
        typer.Option(
            min=0, max=10_000_000, help="Total number of opportunities, distributed evenly."
        ),
    ] = _OPPORTUNITIES,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_SEED, help="Seed of the random generator; another seed gives other rows."
        ),
    ] = 1,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Reference date for the generated data: the same seed and date give the same "
            "rows.",
            show_default="today, in UTC",
        ),
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Remove existing development data first.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            max=64,
            help="Number of processes that generate rows, each of other organizations. The rows "
            "are the same for any number, and one connection inserts them.",
        ),
    ] = 1,
) -> None:
    """Fill the database with development data, if it has none yet.

    Runs only if PARTMAN_ENV is development, and is skipped elsewhere. Everything is inserted in one
    transaction: an interrupted run leaves nothing behind.

    Example: `partman seed dev --organizations 200 --opportunities 100000`

    Example: `partman seed dev --organizations 1000 --opportunities 1000000 --jobs 2`
    """
    settings = project_settings()
    if not _allowed(settings):
        return
    from seeds.generate import SeedPlan

    gc.disable()  # a row is in no cycle; the collector would only look through all of them
    day = as_of.date() if as_of else datetime.now(UTC).date()
    plan = SeedPlan(seed, _within_reason(day), organizations, opportunities)
    seeding = terminal.run(_seed(settings, plan, reset=reset, jobs=jobs))
    if seeding.was_seeded:
        typer.echo(
            f"Already seeded (seed {seeding.status.seed}): {_contents(seeding.status)}. Nothing "
            "was changed; start over with --reset."
        )
        if ignored := _given(context):
            typer.echo(f"Ignored, because the rows are there already: {', '.join(ignored)}.")
    else:
        typer.echo(f"Seeded (seed {seed}, as of {day}): {_contents(seeding.status)}.")


async def fill(settings: Settings) -> str:
    """Insert the default development data, for ``partman reset``; return what was inserted."""
    from seeds.generate import SeedPlan

    day = datetime.now(UTC).date()
    seeding = await _seed(settings, SeedPlan(1, day, _ORGANIZATIONS, _OPPORTUNITIES))
    return f"Seeded (seed 1, as of {day}): {_contents(seeding.status)}."


def _given(context: typer.Context) -> list[str]:
    """Return the options that were typed, as they are written."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name is not None
        and (source := context.get_parameter_source(option.name)) is not None
        and source.name == "COMMANDLINE"
    ]


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show whether the database has development data, and how much.

    Only reads, and so works in every environment.

    Example: `partman seed status --json | jq .rows`
    """
    found = terminal.run(_status(project_settings()))
    if as_json:
        document = {"seeded": found.is_seeded, "seed": found.seed, "rows": found.rows}
        typer.echo(json.dumps(document | {"no_generator": found.without_generator}))
    elif found.is_seeded:
        typer.echo(f"Seeded (seed {found.seed}): {_contents(found)}.")
    else:
        typer.echo("Not seeded. Run: partman seed dev")


@app.command()
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """Remove the rows that `partman seed dev` inserted, and no others.

    Refuses if rows that were added later would be lost with them.

    Example: `partman seed clear --yes`
    """
    settings = project_settings()
    if not _allowed(settings):
        return
    if not yes:
        found = terminal.run(_status(settings))
        if found.is_seeded:
            confirm(
                f"Remove {_words(found.rows)}?",
                "partman seed clear --yes",
                "Nothing was removed.",
            )
    removed = terminal.run(_clear(settings))
    if any(removed.values()):
        typer.echo(f"Removed: {_words(removed)}.")
    else:
        typer.echo("Not seeded: there was nothing to remove.")


def _allowed(settings: Settings) -> bool:
    if settings.policy.development_seeds:
        return True
    logger.warning(
        "Skipped, the database was not touched: this is %s, and development data is for "
        "PARTMAN_ENV=development.",
        settings.environment,
        extra={"environment": settings.environment},
    )
    return False


def _within_reason(day: date) -> date:
    """Reject dates that are too far away for the generated dates to be stored or plausible."""
    if not 1970 <= day.year <= 2200:
        raise typer.BadParameter("must be between 1970 and 2200", param_hint="--as-of")
    return day


async def _seed(
    settings: Settings, plan: "SeedPlan", *, reset: bool = False, jobs: int = 1
) -> "Seeding":
    from partman.database.connection import connected
    from seeds import load

    async with connected(settings, "partman seed") as connection:
        with Progress(_INSERTING, "row", plan.opportunities) as progress:
            return await load.seed(
                connection,
                plan,
                reset=reset,
                jobs=jobs,
                on_progress=lambda count: progress.advance(_INSERTING, count),
            )


async def _status(settings: Settings) -> "SeedStatus":
    from partman.database.connection import connected
    from seeds import load

    async with connected(settings, "partman seed") as connection:
        return await load.status(connection)


async def _clear(settings: Settings) -> "Counts":
    from partman.database.connection import connected
    from seeds import load

    async with connected(settings, "partman seed") as connection:
        return await load.clear(connection)


def _contents(status: "SeedStatus") -> str:
    counts = _words(status.rows)
    left_empty = ", ".join(status.without_generator)
    return f"{counts}; no generator: {left_empty} (left empty)" if left_empty else counts


def _words(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in rows.items())
