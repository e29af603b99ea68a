"""The documents, as far as the tests look into them: fenced blocks, links, code in the text.

What a block's language says:

``console``  lines that begin with ``$`` are run, in order, and print what is shown below them
``python``   a file, if the first line is a comment with its path: it is written
``diff``     a change to a file: it is applied
``sh``       commands that a test of the documents cannot run; covered.py says what runs them
``text``     output, or a picture; nothing in it is run, nor in ``mermaid``, ``sql`` and ``yaml``

A command that ends in ``# exit N`` has that exit code, and every other one 0. A line ``...``
in the output stands for any lines. ``<!-- run: COMMAND -->`` makes, unseen by the reader, the
situation that the text speaks of.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support import ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"^<!-- run: (.*?) -->$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"#\s*exit (\d+)$")
_PATH = re.compile(r"# ([\w/.]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    start: int
    """The position of its text in the document."""


@dataclass(frozen=True)
class Step:
    """A step to run in a shell."""

    script: str
    output: str | None = None
    """The expected output; None if it is not checked."""
    start: int = 0
    """The position of the output in the document."""

    @property
    def exit_code(self) -> int:
        ending = _EXIT.search(self.script)
        return int(ending[1]) if ending else 0


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        return [Block(found[1], found[2], found.start(2)) for found in _FENCE.finditer(self.text)]

    @property
    def steps(self) -> list[Step]:
        """Return the steps of the document, in order."""
        placed = [(found.start(), [Step(found[1])]) for found in _HIDDEN.finditer(self.text)]
        placed += [(block.start, _steps(block)) for block in self.blocks]
        return [step for _, steps in sorted(placed, key=lambda item: item[0]) for step in steps]

    @property
    def prose(self) -> str:
        """Return the text without its fenced blocks."""
        return _FENCE.sub("", self.text)


def documents() -> list[Document]:
    return [Document(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _steps(block: Block) -> list[Step]:
    if block.language == "console":
        return _commands(block)
    if block.language == "python" and (path := _PATH.match(block.text)):
        return [Step(f"cat > {path[1]} <<'END'\n{block.text}END")]
    if block.language == "diff":
        return [Step(f"git apply <<'END'\n{block.text}END")]
    return []


def _commands(block: Block) -> list[Step]:
    """Divide a block into commands and their outputs; ``>`` continues a command."""
    found = re.finditer(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
    return [
        Step(
            re.sub(r"^> ", "", command[1], flags=re.MULTILINE).rstrip("\n"),
            command[2],
            block.start + command.start(2),
        )
        for command in found
    ]
