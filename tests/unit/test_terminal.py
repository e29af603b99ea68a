"""A command's event loop costs nothing that grows with what the command has read."""

import ast
from pathlib import Path

import pytest

from partman import cli, terminal

pytestmark = pytest.mark.same_on_every_version


class Large:
    """Something whose text nobody asks for."""

    def __repr__(self) -> str:
        raise AssertionError("a text of the result was made")


async def read() -> Large:
    return Large()


async def fail() -> Large:
    raise LookupError("as it was")


def test_no_text_is_made_of_a_result() -> None:
    assert isinstance(terminal.run(read()), Large)


def test_an_error_is_raised_as_it_was() -> None:
    with pytest.raises(LookupError, match="as it was"):
        terminal.run(fail())


def test_commands_use_it() -> None:
    """asyncio.run() makes a text of the result, so none of them calls that."""
    modules = list(Path(cli.__file__).parent.glob("*.py"))
    calls = [
        f"{path.name}:{node.lineno}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.run"
    ]
    assert len(modules) > 20
    assert calls == []
