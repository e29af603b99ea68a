"""``partman migrate``, ``status``, ``history``, ``redo`` and ``wait``."""

import asyncio
from typing import Annotated

import typer

from partman.cli import plain
from partman.database.waiting import connected_when_ready
from partman.errors import NotAllowedError
from partman.settings import Settings

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the database to answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def migrate(
    timeout: Timeout = plain.TIMEOUT,
    retries: Annotated[
        int, typer.Option(min=0, help="How often to try again what a lock timeout stopped.")
    ] = plain.RETRIES,
) -> None:
    """Wait for the database, then run all pending migrations.

    The same as `piccolo migrations forwards all`, for a database that may still be starting or
    be busy. Says which schema version there was before, and which there is now.

    Example: `partman migrate --timeout 120`
    """
    raise typer.Exit(plain.migrate(timeout, retries))


def status(as_json: Json = False) -> None:
    """Show the schema version, and which migrations are applied and pending.

    Also what is wrong with them: a file that was changed after it was applied, one that is
    missing, one that comes too late, a ledger that was edited by hand.

    Exit code 1 when something is pending.

    Example: `partman status --json | jq -r .version`
    """
    raise typer.Exit(plain.show_status(as_json=as_json))


def history(as_json: Json = False) -> None:
    """Show every run of a migration: when, for how long, by whom, from which revision.

    The same is in the table `migration_history`, which is append-only.

    Example: `partman history --json | jq '.[] | select(.outcome == "failed")'`
    """
    raise typer.Exit(plain.show_history(as_json=as_json))


def wait(timeout: Timeout = plain.TIMEOUT) -> None:
    """Wait until the database answers.

    Exit code 4 when it does not in time, or does not let us in.

    Example: `partman wait --timeout 30 && piccolo migrations forwards all`
    """

    async def run() -> None:
        async with connected_when_ready(
            Settings.load(), patience=timeout, report=plain.logger.info
        ):
            typer.echo("The database is ready.")

    asyncio.run(run())


def redo() -> None:
    """Undo the newest migration and run it again: a quick test of both directions.

    For development: the rows that the migration's tables and columns hold are lost.

    Example: `partman redo && partman status`
    """
    from partman.database.connection import connected
    from partman.migration.commands import run_backwards, run_forwards
    from partman.migration.status import read_ledger

    settings = Settings.load()
    if not settings.policy.redo:
        raise NotAllowedError(
            f"PARTMAN_ENV is {settings.environment}: redo is for development, because going back "
            "loses what the migration's tables and columns hold. Nothing was changed."
        )

    async def run() -> None:
        async with connected(settings) as connection:
            if not await read_ledger(connection):
                raise NotAllowedError("No migration is applied: nothing to redo. Nothing was run.")
        await run_backwards("partman")
        await run_forwards("partman", "1")

    asyncio.run(run())
