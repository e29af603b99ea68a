"""The commands of ``partman``: its own, and those that the apps offer."""

import functools
from collections.abc import Mapping
from typing import Any

import typer.main

from partman.cli.app import app


@functools.cache
def root() -> Any:
    """Return the command ``partman`` itself."""
    return typer.main.get_command(app)


@functools.cache
def subcommands(command: Any) -> Mapping[str, Any]:
    """Return the commands of a group, by name; none for a command that is not a group."""
    if not hasattr(command, "list_commands"):
        return {}
    context = command.context_class(command, info_name=command.name)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}
