"""The names that no app may use for its own commands."""

from typer.main import get_group

from partman.apps import OWN_COMMANDS
from partman.cli.app import app


def test_no_app_may_use_the_name_of_any_command() -> None:
    assert get_group(app).commands.keys() == OWN_COMMANDS
