"""Commands that the project's apps offer to ``partman``."""

from collections.abc import Mapping

import pytest

from tests.several_apps import SeveralApps
from tests.support import Completed

pytestmark = pytest.mark.same_on_every_version

COMMANDS = """
import typer

def greet(name: str) -> None:
    typer.echo(f"Hello, {name}.")

more = typer.Typer()

@more.command()
def first() -> None:
    typer.echo("the first")

@more.command()
def second() -> None:
    typer.echo("the second")
"""


def offer(several: SeveralApps, app: str, commands: Mapping[str, str]) -> None:
    """Let an app offer commands."""
    several.app(app)
    file = several.folder / app / "piccolo_app.py"
    text = file.read_text()
    assert text.count("PartmanConfig(") == 1
    file.write_text(text.replace("PartmanConfig(", f"PartmanConfig(commands={commands!r}, "))
    (several.folder / app / "commands.py").write_text(COMMANDS)


def refused(completed: Completed, *message: str) -> None:
    assert completed.code == 3, completed.output
    assert completed.stdout == ""
    assert completed.stderr.count("\n") == 1, completed.stderr
    for words in message:
        assert words in completed.stderr


def test_functions_and_groups_are_commands(several: SeveralApps) -> None:
    several.register("blog", "shop")
    offer(several, "blog", {"greet": "blog.commands:greet"})
    offer(several, "shop", {"more": "shop.commands:more"})
    assert several.partman("greet", "Ada").stdout == "Hello, Ada.\n"
    assert several.partman("more", "second").stdout == "the second\n"
    assert several.partman("greet").code == 2
    told = several.partman("--help")
    assert told.code == 0, told.output
    assert all(name in told.stdout for name in ("greet", "more", "migrate"))


def test_two_apps_that_offer_one_name_are_told_in_one_line(several: SeveralApps) -> None:
    several.register("blog", "shop")
    for app in ("blog", "shop"):
        offer(several, app, {"greet": f"{app}.commands:greet"})
    both = "Two apps offer the command greet: blog.commands:greet and shop.commands:greet"
    refused(several.partman("greet", "Ada"), both, "Rename one of them.")
    told = several.partman("--help")
    assert told.code == 0
    assert both in told.stderr
    assert "migrate" in told.stdout


def test_a_reserved_command_name_is_one_clear_line(several: SeveralApps) -> None:
    several.register("blog")
    offer(several, "blog", {"migrate": "blog.commands:greet"})
    message = "PARTMAN_CONFIG offers the command migrate, which partman has itself"
    refused(several.partman("greet", "Ada"), message)
    refused(several.partman("drift"), message)


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ("raise ValueError('no\\nluck')", "ValueError: no luck"),
        ("raise SystemExit(5)", "SystemExit: 5"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        ("def greet(:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_broken_import_is_one_line_and_hinders_no_other_command(
    several: SeveralApps, commands: str, message: str
) -> None:
    several.register("blog")
    offer(several, "blog", {"greet": "blog.commands:greet"})
    (several.folder / "blog" / "commands.py").write_text(f"{commands}\n")
    refused(several.partman("greet", "Ada"), message, "The command greet of an app", "line 1")
    status = several.partman("status")
    assert (status.code, status.stderr) == (0, "")
    told = several.partman("--help")
    assert told.code == 0
    assert message in told.stderr


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("blog.commands:nothing", "the module has no nothing"),
        ("blog.nowhere:greet", "there is no module 'blog.nowhere'"),
        ("blog.commands.greet", "is not of the form module:attribute"),
        ("blog.commands:", "is not of the form module:attribute"),
    ],
)
def test_a_wrong_reference_is_one_line(several: SeveralApps, reference: str, message: str) -> None:
    several.register("blog")
    offer(several, "blog", {"greet": reference})
    refused(several.partman("greet", "Ada"), message, repr(reference))


def test_an_unknown_command_is_a_usage_error(several: SeveralApps) -> None:
    several.register("blog")
    offer(several, "blog", {"greet": "blog.commands:greet"})
    unknown = several.partman("great")
    assert unknown.code == 2
    assert "great" in unknown.stderr
