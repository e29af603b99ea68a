"""``partman server``: the embedded server, from the command line."""

import json
import os
import sys
import time
from collections import deque
from dataclasses import asdict
from typing import Annotated

import typer

from partman.database import embedded
from partman.database.project_settings import project_settings
from partman.errors import ExitCode, ProjectError
from partman.settings import Settings

_LOOK_AGAIN = 0.3
"""Seconds between two looks at a log that is followed."""

app = typer.Typer(
    help=(
        "The embedded server: PostgreSQL without installing PostgreSQL.\n\n"
        "It is what partman works on while DATABASE_URL is not set. Whichever command needs it "
        "first starts it, and it keeps running for the next one. It listens on no port; its data "
        "is in `.partman/`, or in the folder that PARTMAN_DATA_DIR names."
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Say whether the embedded server is running, and where it keeps its files.

    Starts nothing. Exit code 0 when it is running, 1 when it is not.

    Example: `partman server status --json | jq -r .log`
    """
    settings = _settings()
    found = embedded.status(settings.data_directory)
    in_use = settings.database_url is None
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"in_use": in_use}, default=str, indent=2))
    else:
        typer.echo(_describe(found))
        if not in_use:
            typer.echo(_not_in_use(settings))
    raise typer.Exit(ExitCode.OK if found.running else ExitCode.NO)


@app.command()
def start() -> None:
    """Start the embedded server, if it is not running.

    There is rarely a need for it: every command that uses the server starts it. The first start
    creates the database `partman`, owned by the role `partman`, which is no superuser.

    Example: `partman server start`
    """
    settings = _settings_with_warning()
    embedded.start(settings.data_directory)
    typer.echo(_describe(embedded.status(settings.data_directory)))


@app.command()
def stop() -> None:
    """Stop the embedded server; open connections are closed, the data stays.

    To be rid of the data as well, remove `.partman/` afterwards.

    Example: `partman server stop`
    """
    if embedded.stop(_settings().data_directory):
        typer.echo("The embedded server was stopped. The next command that needs it starts it.")
    else:
        typer.echo("The embedded server is not running; there was nothing to stop.")


@app.command()
def logs(
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0 for all.")
    ] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")
    ] = False,
) -> None:
    """Print the embedded server's log since its last start. Starts nothing.

    The log of the start before is the file `log.1` beside it.

    Exit code 1 if there is no log.

    Example: `partman server logs --follow`
    """
    log = embedded.status(_settings().data_directory).log
    try:
        with log.open(errors="replace") as file:
            last = deque(file, maxlen=lines or None)
            typer.echo("".join(last), nl=False)
            while follow:
                if added := file.read():
                    typer.echo(added, nl=False)
                else:
                    time.sleep(_LOOK_AGAIN)
    except FileNotFoundError:
        typer.echo(f"The embedded server has no log: it was never started. Its log: {log}")
        raise typer.Exit(ExitCode.NO) from None
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command()
def url() -> None:
    """Print the URL of the embedded server's database, starting the server if needed.

    Example: `psql "$(partman server url)" -c "TABLE migration"`
    """
    typer.echo(embedded.start(_settings_with_warning().data_directory))


@app.command(
    options_metavar="[PSQL ARGUMENTS]...",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["--help"],  # -h is psql's
    },
)
def psql(context: typer.Context) -> None:
    r"""Open psql on the embedded server's database; all arguments are psql's own.

    As the role `partman`, unless told otherwise: `-U postgres` is the server's superuser.

    Example: `partman server psql -c '\dt'`
    """
    program, variables = embedded.psql(_settings_with_warning().data_directory)
    # Whatever else PG… variables say is about another server, from its address to its TLS.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PG")}
    sys.stdout.flush()
    os.execve(program, ["psql", *context.args], environment | variables)  # noqa: S606


def _settings_with_warning() -> Settings:
    """Load the settings; say so if what follows is not about the database in use."""
    settings = _settings()
    if settings.database_url is not None:
        typer.echo(_not_in_use(settings), err=True)
    return settings


def _settings() -> Settings:
    """Return the project's settings; the environment's where there is no project to import."""
    try:
        return project_settings()
    except ProjectError:
        return Settings.load()


def _not_in_use(settings: Settings) -> str:
    return (
        f"{settings.url_source} is set: partman works on the database that it names, not on the "
        "embedded server."
    )


def _describe(found: embedded.ServerStatus) -> str:
    if not found.running:
        state = "stopped" if found.installed else "never started"
        return f"The embedded server is not running ({state}). Its folder: {found.directory}"
    return (
        f"The embedded server is running: PostgreSQL {found.version}, pid {found.pid}, "
        f"since {found.since:%Y-%m-%d %H:%M:%S} UTC\n"
        f"url  {found.url}\n"
        f"log  {found.log}"
    )
