"""Commands that the project's apps offer, beside partman's own."""

from typing import Any

from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command

from partman.errors import NoProjectError, OfferMissingError, PartmanError
from partman.logs import report_error

_PANEL = "Of this project's apps"


class CommandGroup(TyperGroup):
    """partman's own commands, and those of the apps.

    The apps are imported only for a name that partman does not have, and for a list of all.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None if neither partman nor an app has it. Raises PartmanError."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from partman.apps import offered_commands

        try:
            reference = offered_commands().get(cmd_name)
        except NoProjectError as error:
            raise NoProjectError(
                f"partman has no command {cmd_name}, and no app to offer one. {error}"
            ) from error
        return None if reference is None else _loaded(cmd_name, reference)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of those that can be called. Says why an app's cannot be."""
        return [*super().list_commands(ctx), *_callable_commands(quiet=ctx.resilient_parsing)]


def _callable_commands(*, quiet: bool) -> list[str]:
    from partman.apps import offered_commands

    names = []
    try:
        for name, reference in offered_commands().items():
            try:
                _loaded(name, reference)
                names.append(name)
            except OfferMissingError:  # reported when the command is typed
                pass
    except NoProjectError:
        pass
    except PartmanError as error:
        if not quiet:
            report_error(error)
    return names


def _loaded(name: str, reference: str) -> Any:
    """Return the command that is named as ``module:attribute``. Raises PartmanError."""
    from partman.apps import imported

    offered = imported(reference, f"The command {name} of an app")
    if not isinstance(offered, Typer):
        function, offered = offered, Typer(rich_markup_mode="markdown")
        offered.command()(function)
    command: Any = get_command(offered)
    command.name = name
    command.rich_help_panel = _PANEL
    return command
