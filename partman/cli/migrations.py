"""``partman migrate``, ``status``, ``redo`` and ``wait``."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from partman.database.connection import connect
from partman.database.waiting import connect_when_ready
from partman.errors import ExitCode, NotAllowedError
from partman.migration.commands import run_backwards, run_forwards
from partman.migration.status import Status, read_status
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.migrate")

Timeout = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for the database to answer.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def migrate(timeout: Timeout = 60) -> None:
    """Wait for the database, then run all pending migrations.

    The same as `piccolo migrations forwards all`, for a database that may still be starting.
    Says which schema version there was before, and which there is now.

    Example: `partman migrate --timeout 120`
    """
    settings = Settings.load()

    async def run() -> None:
        async with _ready(settings, timeout) as connection:
            before = await read_status(connection)
        logger.info("schema version before: %s", _version(before))
        if before.pending:
            await run_forwards()
        async with _connected(settings) as connection:
            after = await read_status(connection)
        logger.info("schema version now: %s", _version(after))
        typer.echo(_summary(before, after))

    asyncio.run(run())


def wait(timeout: Timeout = 60) -> None:
    """Wait until the database answers.

    Exit code 4 when it does not in time, or does not let us in.

    Example: `partman wait --timeout 30 && piccolo migrations forwards all`
    """
    settings = Settings.load()

    async def run() -> None:
        async with _ready(settings, timeout):
            typer.echo("The database is ready.")

    asyncio.run(run())


def status(as_json: Json = False) -> None:
    """Show the schema version, and which migrations are applied and pending.

    Exit code 1 when something is pending.

    Example: `partman status --json | jq -r .version`
    """
    settings = Settings.load()

    async def run() -> Status:
        async with _connected(settings) as connection:
            return await read_status(connection)

    found = asyncio.run(run())
    if as_json:
        typer.echo(_as_json(found))
    else:
        _print_table(found)
    if found.pending:
        raise typer.Exit(ExitCode.NO)


def redo() -> None:
    """Undo the newest migration and run it again: a quick test of both directions.

    For development: the rows that the migration's tables and columns hold are lost.
    """
    settings = Settings.load()
    if not settings.policy.redo:
        raise NotAllowedError(
            f"PARTMAN_ENV is {settings.environment}: redo is for development, because going back "
            "loses what the migration's tables and columns hold. Nothing was changed."
        )

    async def run() -> None:
        await run_backwards("partman")
        await run_forwards("partman", "1")

    asyncio.run(run())


@asynccontextmanager
async def _connected(settings: Settings) -> "AsyncIterator[Connection[Record]]":
    connection = await connect(settings, application_name="partman")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _ready(settings: Settings, timeout: float) -> "AsyncIterator[Connection[Record]]":
    connection = await connect_when_ready(
        settings, timeout=timeout, application_name="partman", report=logger.info
    )
    try:
        yield connection
    finally:
        await connection.close()


def _version(found: Status) -> str:
    return found.version or "none, no migration is applied"


def _summary(before: Status, after: Status) -> str:
    count = len(after.applied) - len(before.applied)
    if count == 0:
        return f"Nothing to do. The schema version is {_version(after)}."
    migrations = "1 migration" if count == 1 else f"{count} migrations"
    return f"{migrations} applied. The schema version is {_version(after)}."


def _as_json(found: Status) -> str:
    return json.dumps(
        {
            "version": found.version,
            "applied": len(found.applied),
            "pending": len(found.pending),
            "migrations": [asdict(state) for state in found.migrations],
        },
        default=str,
        indent=2,
    )


def _print_table(found: Status) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("migration", "description", "applied", box=None, pad_edge=False)
    for state in found.migrations:
        when = f"{state.applied_at:%Y-%m-%d %H:%M:%S}" if state.applied_at else "pending"
        table.add_row(state.id, state.description if state.has_file else "(no file)", when)
    console = Console()
    console.print(table)
    console.print(
        f"\nSchema version {_version(found)}; "
        f"{len(found.applied)} applied, {len(found.pending)} pending."
    )
    if found.pending:
        console.print("Run them with: piccolo migrations forwards all")
