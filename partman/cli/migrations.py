"""``partman migrate``, ``status``, ``history``, ``redo`` and ``wait``."""

import asyncio
from typing import Annotated

import typer

from partman.cli import fast_path
from partman.database.project_settings import project_settings
from partman.database.wait import connected_when_ready
from partman.errors import NotAllowedError

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the database to answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def migrate(
    timeout: Timeout = fast_path.TIMEOUT,
    retries: Annotated[
        int, typer.Option(min=0, help="How often to try again what a lock timeout stopped.")
    ] = fast_path.RETRIES,
) -> None:
    """Wait for the database, then run all pending migrations.

    The same as `piccolo migrations forwards all`, for a database that may still be starting or
    be busy. Says which schema version there was before, and which there is now.

    Example: `partman migrate --timeout 120`
    """
    raise typer.Exit(fast_path.migrate(timeout, retries))


def status(as_json: Json = False) -> None:
    """Show the schema version, and which migrations are applied and pending.

    Also what is wrong with them: a file that was changed after it was applied, one that is
    missing, one that comes too late, a ledger that was edited by hand.

    Exit code 1 when something is pending.

    Example: `partman status --json | jq -r .version`
    """
    raise typer.Exit(fast_path.show_status(as_json=as_json))


def history(as_json: Json = False) -> None:
    """Show every run of a migration: when, for how long, by whom, from which revision.

    The same is in the table `migration_history`, which is append-only.

    Example: `partman history --json | jq '.[] | select(.outcome == "failed")'`
    """
    raise typer.Exit(fast_path.show_history(as_json=as_json))


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

    asyncio.run(run())


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
    asyncio.run(redo_newest(settings))
