"""What the commands print on terminals of several widths, and in a pipe.

To record a look anew, remove its file in ``looks/``, run this, and look at it.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.cli import look
from tests.unit.frozen_results import reports

pytestmark = pytest.mark.same_on_every_version

LOOKS = Path(__file__).parent / "looks"
WIDTHS = (80, 100, 140, None)
DECIDES = (
    *("blocks reads, writes", "blocks writes, DDL", "already exists", "tenant-policy"),
    *(
        "no SQL is known for it",
        "LOSES DATA",
        "24 rows",
        "DOES NOT",
        "NOT reversible",
        "db.internal",
    ),
    *("idx_close", "[tenant-policy]", "parameter-rights", "exit code 11", "12.5 s", "web-7f9c4d"),
)
"""What nobody may miss."""


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def plain(name: str, width: int | None) -> list[str]:
    lines = look.rendered(reports()[name], width)
    return ["".join(text for text, _ in line).rstrip() for line in lines]


@pytest.mark.parametrize("name", reports())
def test_a_report_looks_as_recorded(name: str) -> None:
    """At 80, 100 and 140 columns, and in a pipe."""

    def parts() -> Iterator[str]:
        for width in WIDTHS:
            yield f"=== {width or 'pipe'}"
            yield from plain(name, width)

    file, found = LOOKS / f"{name}.txt", "\n".join([*parts(), ""])
    if not file.exists():
        file.write_text(found)
        pytest.fail(f"{file.name} is recorded; look at it")
    assert found == file.read_text()


@pytest.mark.parametrize("width", [*range(40, 140, 7), None])
@pytest.mark.parametrize("name", reports())
def test_no_width_cuts_what_decides(name: str, width: int | None) -> None:
    """Everything that is said without a width is said at every width, but for SQL that was run."""
    whole = " ".join(" ".join(plain(name, None)).split())
    narrow = " ".join(" ".join(plain(name, width)).split())
    for words in DECIDES:
        assert (words in whole) == (words in narrow)


@pytest.mark.parametrize("name", reports())
@pytest.mark.parametrize("width", [80, 100, 140])
def test_prose_fits_the_terminal(name: str, width: int) -> None:
    """What is longer is SQL to copy, which the terminal itself breaks."""
    blocks = [block for block in reports()[name] if not isinstance(block, look.Verbatim)]
    lines = ["".join(text for text, _ in line) for line in look.rendered(blocks, width)]
    assert [line for line in lines if len(line.rstrip()) > width] == []


@pytest.mark.parametrize("name", reports())
def test_the_verdict_is_first_and_in_colour(name: str) -> None:
    (word, style), *_ = next(look.rendered(reports()[name], 80))
    assert word
    assert style in {look.BAD, look.WARNING, "bold white on red"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
    ],
)
def test_colours_follow_the_environment(
    terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    file = Terminal() if terminal else io.StringIO()
    look.show([look.verdict("no difference", look.GOOD, "41 objects compared.")], file)
    assert ("\x1b[32m" in file.getvalue()) == coloured
    assert "no difference" in file.getvalue()


def test_cells_of_wide_characters_stay_in_their_columns() -> None:
    table = look.Table(("name", "state"), [("取引先", "active"), ("Acme", "active")])
    lines = ["".join(text for text, _ in line) for line in table.lines(None)]
    assert {look.cells(line[: line.index("active")]) for line in lines[1:]} == {8}


def test_columns_that_do_not_fit_go_below_their_row() -> None:
    table = look.Table(("a", "b"), [("x" * 20, "y" * 30)])
    lines = ["".join(text for text, _ in line).rstrip() for line in table.lines(40)]
    assert lines == ["a", "x" * 20, f"  b {'y' * 30}"]
