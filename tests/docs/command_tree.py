"""The commands of ``partman`` as a person finds them: its own, and those that the apps offer."""

from collections.abc import Mapping
from typing import Any

import typer.main

from partman.cli.app import app


def root() -> Any:
    """The command ``partman`` itself."""
    return typer.main.get_command(app)


def subcommands(command: Any) -> Mapping[str, Any]:
    """The commands of a group, by name; none of a command that is no group."""
    if not hasattr(command, "list_commands"):
        return {}
    context = command.context_class(command, info_name=command.name)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}
