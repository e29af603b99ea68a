"""The ``partman`` command, put together from its parts."""

from typing import Annotated

import typer

from partman import __version__
from partman.accounts import commands as admin
from partman.cli import (
    adopt,
    check,
    diagram,
    drift,
    migrations,
    new,
    plan,
    serve,
    verify,
)
from partman.cli import embedded_server as server
from partman.logs import configure_logging
from partman.settings import Settings
from seeds import cli as seed

app = typer.Typer(
    name="partman",
    help="The partner-management database: its schema, its migrations, its development data.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command()(migrations.migrate)
app.command()(migrations.status)
app.command()(migrations.history)
app.command()(check.check)
app.command()(drift.drift)
app.command()(verify.verify)
app.command()(adopt.adopt)
app.command()(migrations.redo)
app.command()(migrations.wait)
app.command()(plan.plan)
app.command()(diagram.diagram)
app.command()(new.new)
app.command()(serve.serve)
app.add_typer(server.app, name="server")
app.add_typer(admin.app, name="admin")
app.add_typer(seed.app, name="seed")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[  # noqa: ARG001 -- Typer calls _print_version
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Set up logging before any command runs."""
    configure_logging(Settings.load().log_format)
