"""Print the table of all schemas at the end of a run; ``--record-table`` writes it down."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import table
from tests.environment import ROOT

_DOCUMENT = ROOT / "docs" / "comparing.md"
_BEGIN, _END = "<!-- begin: corpus -->\n", "<!-- end: corpus -->"
_OPTION = "--record-table"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, action="store_true", help="write the table into docs/comparing.md")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tried = [table.decoded(text) for text in _passed_on(terminalreporter, table.TRIED)]
    if tried:
        printed = table.as_markdown(tried)
        terminalreporter.write_line(printed)
        if config.getoption(_OPTION):
            _record(_DOCUMENT, printed)
    for reason in sorted(_passed_on(terminalreporter, table.NOT_TRIED)):
        terminalreporter.write_line(f"Not tried: {reason}")


def _passed_on(terminalreporter: Any, name: str) -> Iterator[str]:
    """Yield what the tests recorded under a name, in whichever process they ran."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from (str(value) for key, value in report.user_properties if key == name)


def _record(document: Path, printed: str) -> None:
    text = document.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    document.write_text(f"{before}{_BEGIN}\n{printed}\n{_END}{after}")
