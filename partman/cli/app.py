"""The ``partman`` command, put together from its parts."""

from importlib import import_module
from typing import Annotated, Any

import typer

from partman import __version__
from partman.cli.offered_commands import CommandGroup
from partman.logs import configure_logging
from partman.settings import log_format

_SERVE = "Serve"
_GROUPS: dict[str, tuple[str, ...]] = {
    "Run migrations": (
        "migrations.migrate",
        "migrations.redo",
        "reset.reset",
        "migrations.wait",
        "resolve.resolve",
        "sql.sql",
    ),
    "Look": (
        "migrations.status",
        "doctor.doctor",
        "migrations.history",
        "plan.plan",
        "rehearse.rehearse",
        "diagram.diagram",
    ),
    "Write and compare": ("new.new", "check.check", "drift.drift", "verify.verify", "adopt.adopt"),
    "More than one machine": ("distribute.distribute", "distribute.undistribute"),
    _SERVE: ("serve.serve",),
}
"""The functions of the commands, by the heading of the list: module and name, for only the module
of the command that was typed is imported."""
_SERVER = "server"


def create_app(typed: str | None = None) -> typer.Typer:
    """Return the application; with only the command that was typed, if that is partman's own."""
    own = {each.partition(".")[2] for group in _GROUPS.values() for each in group} | {_SERVER}
    wanted = {typed} if typed in own else own
    app = typer.Typer(
        name="partman",
        cls=CommandGroup,
        help="The database of a Piccolo project: its schema, its migrations, its tenants.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(prepare)
    for heading, commands in _GROUPS.items():
        for command in commands:
            module, _, name = command.partition(".")
            if name in wanted:
                function = getattr(import_module(f"partman.cli.{module}"), name)
                app.command(rich_help_panel=heading)(function)
    if _SERVER in wanted:
        from partman.cli import embedded_server

        app.add_typer(embedded_server.app, name=_SERVER, rich_help_panel=_SERVE)
    return app


def __getattr__(name: str) -> Any:
    """Return ``app``, with all commands, which are imported only for whoever asks for it."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = whole = create_app()
    return whole


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


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
