"""``partman migrate``, ``status``, ``history``, ``redo`` and ``wait``."""

from typing import Annotated

import typer

from partman import terminal
from partman.cli import fast_path
from partman.database.project_settings import project_settings
from partman.database.wait import connected_when_ready
from partman.errors import MigrationCodeError, NotAllowedError
from partman.logs import report_traceback

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the database to answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def migrate(
    timeout: Timeout = fast_path.TIMEOUT,
    retries: Annotated[
        int, typer.Option(min=0, help="How often to try again what a lock timeout stopped.")
    ] = fast_path.RETRIES,
    show_traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Print the Python traceback of a migration's error, too."),
    ] = False,
) -> None:
    """Wait for the database, then run all pending migrations.

    The same as `piccolo migrations forwards all`, for a database that may still be starting or
    be busy. Says which schema version there was before, and which there is now.

    Example: `partman migrate --timeout 120`
    """
    try:
        code = fast_path.migrate(timeout, retries)
    except MigrationCodeError as error:
        if show_traceback:
            report_traceback(error)
        raise
    raise typer.Exit(code)


def status(as_json: Json = False) -> None:
    """Show the schema version, and which migrations are applied and pending.

    Also which are running, were killed or failed, since when and why, and what is wrong: a file
    that was changed after it was applied, one that is missing, one that comes too late, a ledger
    that was edited by hand.

    Exit code 1 when something is pending, 10 when `partman migrate` would stop before it begins.

    Example: `partman status --json | jq -r .version`
    """
    raise typer.Exit(fast_path.show_status(as_json=as_json))


def history(
    as_json: Json = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default="20; all with --json",
            help="How many of the newest runs to show; 0 for all.",
        ),
    ] = None,
) -> None:
    """Show the runs of migrations: when, for how long, by whom, from which revision.

    Also which rows a run has changed, and why it failed. Runs in a row that failed with the same
    error are one line. The same is in the table `migration_history`, which is append-only.

    Example: `partman history --json | jq '.[] | select(.outcome == "failed")'`

    Example: `partman history --limit 0`
    """
    raise typer.Exit(fast_path.show_history(as_json=as_json, limit=limit))


def wait(timeout: Timeout = fast_path.TIMEOUT) -> None:
    """Wait until the database answers.

    Exit code 4 when it does not in time, or does not let us in.

    Example: `partman wait --timeout 30 && piccolo migrations forwards all`
    """

    async def run() -> None:
        async with connected_when_ready(
            project_settings(), patience=timeout, report=fast_path.logger.info
        ):
            typer.echo("The database is ready.")

    terminal.run(run())


def redo() -> None:
    """Undo the newest migration and run it again: a quick test of both directions.

    The newest is the one that was run last, of whichever app. For development: the rows that the
    migration's tables and columns hold are lost.

    Example: `partman redo && partman status`
    """
    from partman.migration.runner.piccolo_commands import redo_newest

    settings = project_settings()
    if not settings.policy.redo:
        raise NotAllowedError(
            f"PARTMAN_ENV is {settings.environment}: redo is for development, because going back "
            "loses what the migration's tables and columns hold. Nothing was changed."
        )
    terminal.run(redo_newest(settings))
