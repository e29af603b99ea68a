"""The ``partman`` command, put together from its parts."""

from typing import Annotated

import typer

from partman import __version__
from partman.cli import (
    adopt,
    check,
    diagram,
    drift,
    migrations,
    new,
    plan,
    resolve,
    serve,
    sql,
    verify,
)
from partman.cli import embedded_server as server
from partman.cli.offered_commands import CommandGroup
from partman.logs import configure_logging
from partman.settings import log_format

app = typer.Typer(
    name="partman",
    cls=CommandGroup,
    help="The database of a Piccolo project: its schema, its migrations, its tenants.",
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
app.command()(resolve.resolve)
app.command()(migrations.redo)
app.command()(migrations.wait)
app.command()(plan.plan)
app.command()(sql.sql)
app.command()(diagram.diagram)
app.command()(new.new)
app.command()(serve.serve)
app.add_typer(server.app, name="server")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[  # noqa: ARG001 -- Typer calls _print_version
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Set up logging before any command runs."""
    configure_logging(log_format())
