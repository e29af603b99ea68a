"""How the commands look: the verdict first, then what it rests on.

A report is a sequence of blocks, and a block becomes lines for a width. In a pipe there is no
width: nothing is wrapped there, so that a line can be searched for. Only SQL that is told, and not
offered, is ever cut. Rich decides about colours (``NO_COLOR``, ``FORCE_COLOR``, ``TERM``), and is
imported only where there are some, because ``partman status`` is asked by every health check.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO, TypeAlias

Span: TypeAlias = tuple[str, str]
"""Text and its style, as Rich names styles; "" is none."""
Line: TypeAlias = tuple[Span, ...]

GOOD = "green"
BRIEF = "cyan"
WARNING = "yellow"
BAD = "bold red"
QUIET = "dim"
STRONG = "bold"
PLAIN = ""

WIDEST = 140
"""Columns of a terminal that are used; longer lines are hard to read."""
SQL_IN_A_PIPE = 100
"""Columns of a line with SQL in a pipe, unless COLUMNS says otherwise."""
_NARROWEST_CELL = 16
_INDENT = "  "


class Block(Protocol):
    """A part of a report."""

    def lines(self, width: int | None) -> Iterator[Line]:
        """Yield its lines for so many columns; None: as wide as they are."""
        ...


@dataclass(frozen=True)
class Prose:
    """Text that is wrapped between words and never cut."""

    spans: Line
    hanging: int = 0
    """Columns before each line but the first."""

    def lines(self, width: int | None) -> Iterator[Line]:
        """Yield its lines."""
        text = "".join(part for part, _ in self.spans)
        start = 0
        for paragraph in text.split("\n"):
            before = self.hanging if start else 0
            for first, last in _wrapped(paragraph, width, before, self.hanging):
                line = _slice(self.spans, start + first, start + last)
                is_first = start + first == 0
                yield line if is_first else ((" " * self.hanging, PLAIN), *line)
            start += len(paragraph) + 1


@dataclass(frozen=True)
class Verbatim:
    """Text to copy, such as SQL and commands: neither wrapped nor cut."""

    text: str
    style: str = PLAIN

    def lines(self, width: int | None) -> Iterator[Line]:  # noqa: ARG002 -- of no account
        """Yield its lines."""
        yield from (((line, self.style),) for line in self.text.split("\n"))


@dataclass(frozen=True)
class Statement:
    """A statement that was run: SQL, which is cut to one line, and what it did."""

    number: int
    sql: str
    took: str
    about: Sequence[Line] = ()

    def lines(self, width: int | None) -> Iterator[Line]:
        """Yield its lines."""
        room = (width or _sql_in_a_pipe()) - 10 - max(len(self.took), 9)
        sql = cut(" ".join(self.sql.split()), room)
        padding = " " * (room - cells(sql))
        yield ((f"{self.number:>6}  ", QUIET), (sql + padding, PLAIN), (f"  {self.took:>9}", QUIET))
        for line in self.about:
            yield from Prose(((" " * 10, PLAIN), *line), hanging=12).lines(width)


@dataclass(frozen=True)
class Table:
    """Rows in columns, each as wide as its widest cell.

    On a narrow terminal, the cells of some columns are wrapped, and the last columns go below
    their row.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str | Span, ...]]
    wrapped: frozenset[str] = frozenset()
    """The columns whose cells are prose."""

    def lines(self, width: int | None) -> Iterator[Line]:
        """Yield its lines."""
        rows = [
            [(cell, PLAIN) if isinstance(cell, str) else cell for cell in row] for row in self.rows
        ]
        columns = [
            [name, *(row[column][0] for row in rows)] for column, name in enumerate(self.header)
        ]
        beside = _fitting(columns, [name in self.wrapped for name in self.header], width)
        yield from _row([(name, QUIET) for name in self.header[: len(beside)]], beside)
        for row in rows:
            yield from _row(row[: len(beside)], beside)
            if len(beside) == len(row):
                continue
            below = list(zip(self.header, row, strict=True))[len(beside) :]
            if told := ", ".join(f"{name} {text}" for name, (text, _) in below if text):
                yield from Prose(((_INDENT + told, QUIET),), hanging=len(_INDENT)).lines(width)


BLANK = Verbatim("")


def verdict(word: str, style: str, sentence: str) -> Prose:
    """Return the line that a report begins with."""
    return Prose(((word, style), (f"  {sentence}", PLAIN)), hanging=2)


def said(text: str, style: str = PLAIN) -> Prose:
    """Return a sentence."""
    return Prose(((text, style),))


def labelled(label: str, text: str, style: str) -> Prose:
    """Return a remark behind its label."""
    return Prose(((f"{_INDENT}{label:<9}  ", style), (text, PLAIN)), hanging=13)


def problem(text: str) -> Prose:
    """Return what stops a command."""
    return Prose((("Problem: ", BAD), (text, PLAIN)), hanging=2)


def note(text: str) -> Prose:
    """Return what is to be known."""
    return Prose((("Note: ", WARNING), (text, PLAIN)), hanging=2)


def table_by_app(
    header: tuple[str, ...],
    rows: Sequence[tuple[str | Span, ...]],
    apps: Sequence[str],
    wrapped: frozenset[str] = frozenset(),
) -> Table:
    """Return a table; with a first column for the app where there are several."""
    if len(set(apps)) < 2:
        return Table(header, rows, wrapped)
    with_app = [(app, *row) for app, row in zip(apps, rows, strict=True)]
    return Table(("app", *header), with_app, wrapped)


def cut(text: str, width: int) -> str:
    """Return a text of one line, cut to so many columns."""
    if cells(text) <= width:
        return text
    while cells(text) > max(width, 1) - 1:
        text = text[:-1]
    return f"{text}…"


def show(blocks: Iterable[Block], file: TextIO | None = None) -> None:
    """Print a report: on a terminal in its width and in colours."""
    file = file or sys.stdout
    if file is None:  # `>&-`
        return
    is_terminal = file.isatty()
    width = terminal_width() if is_terminal else None
    if is_terminal or os.environ.get("FORCE_COLOR"):
        _paint(rendered(blocks, width), file)
        return
    for block in blocks:
        # In one piece: a table may have thousands of lines.
        if lines := ["".join([text for text, _ in line]).rstrip() for line in block.lines(width)]:
            print("\n".join(lines), file=file)


def rendered(blocks: Iterable[Block], width: int | None) -> Iterator[Line]:
    """Yield the lines of a report."""
    for block in blocks:
        yield from block.lines(width)


def terminal_width() -> int:
    """Return the columns that a report may use."""
    return min(shutil.get_terminal_size().columns, WIDEST)


def cells(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _paint(lines: Iterable[Line], file: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False)
    for line in lines:
        text = Text.assemble(*line)
        text.rstrip()
        console.print(text, soft_wrap=True)


def _sql_in_a_pipe() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else SQL_IN_A_PIPE


def _wrapped(
    text: str, width: int | None, before: int = 0, hanging: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield where each line of a paragraph begins and ends.

    ``before`` are the columns before the first line, ``hanging`` those before the others.
    """
    if width is None:
        yield 0, len(text)
        return
    room, start, end = width - before, 0, 0
    if cells(text) <= room:
        yield 0, len(text.rstrip())
        return
    for word in re.finditer(r"\S+", text):
        if end and cells(text[start : word.end()]) > room:
            yield start, end
            start, room = word.start(), width - hanging
        end = word.end()
    yield start, max(end, start)


def _slice(spans: Line, first: int, last: int) -> Line:
    """Return what is between two positions of the text of spans."""
    found, at = [], 0
    for text, style in spans:
        part = text[max(first - at, 0) : max(last - at, 0)]
        if part:
            found.append((part, style))
        at += len(text)
    return tuple(found)


def _fitting(
    columns: Sequence[Sequence[str]], wrapped: Sequence[bool], width: int | None
) -> list[int]:
    """Return the widths of the first columns, as many as can stand beside each other."""
    natural = [max(map(cells, column)) for column in columns]
    if width is None:
        return natural
    least = [
        max(min(most, _NARROWEST_CELL), *(cells(word) for text in column for word in text.split()))
        if wraps
        else most
        for column, most, wraps in zip(columns, natural, wrapped, strict=True)
    ]
    number = len(columns)
    while number > 1 and _total(least[:number]) > width:
        number -= 1
    beside, least = natural[:number], least[:number]
    while _total(beside) > width and beside != least:
        widest = max(range(number), key=lambda each: beside[each] - least[each])
        beside[widest] = max(least[widest], beside[widest] - (_total(beside) - width))
    return beside


def _total(widths: list[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _row(row: Sequence[Span], widths: list[int]) -> Iterator[Line]:
    """Yield the lines of a row whose cells are wrapped."""
    line: list[Span] = [
        (text + " " * (room + 2), style)
        for (text, style), width in zip(row, widths, strict=True)
        if (room := width - cells(text)) >= 0
    ]
    if len(line) == len(row):  # as nearly always, in thousands of rows
        yield tuple(line)
        return
    wrapped = [
        [text[first:last] for first, last in _wrapped(text, width)]
        for (text, _), width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        line = []
        for column, (of, width) in enumerate(zip(wrapped, widths, strict=True)):
            text = of[number] if number < len(of) else ""
            line.append((text + " " * (width - cells(text) + 2), row[column][1]))
        yield tuple(line)
