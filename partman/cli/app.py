"""The ``partman`` command, put together from its parts."""

from collections.abc import Callable
from typing import Annotated

import typer

from partman import __version__
from partman.cli import (
    adopt,
    check,
    diagram,
    distribute,
    doctor,
    drift,
    migrations,
    new,
    plan,
    rehearse,
    reset,
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
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SERVE = "Serve"
_GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run migrations": (
        migrations.migrate,
        migrations.redo,
        reset.reset,
        migrations.wait,
        resolve.resolve,
        sql.sql,
    ),
    "Look": (
        migrations.status,
        doctor.doctor,
        migrations.history,
        plan.plan,
        rehearse.rehearse,
        diagram.diagram,
    ),
    "Write and compare": (new.new, check.check, drift.drift, verify.verify, adopt.adopt),
    "More than one machine": (distribute.distribute, distribute.undistribute),
    _SERVE: (serve.serve,),
}

for _panel, _commands in _GROUPS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(server.app, name="server", rich_help_panel=_SERVE)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def prepare(
    version: Annotated[  # noqa: ARG001 -- Typer calls _print_version
        bool,
        typer.Option(
            "--version",
            metavar="",  # it takes no value
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Set up logging before any command runs."""
    configure_logging(log_format())
