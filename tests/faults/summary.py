"""What the fault tests tried, as a line at the end of the test run."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

Record = Callable[[str, object], None]
"""pytest's record_property: what a worker of pytest-xdist tells its controller."""

_COUNTED = ("kills", "dropped connections", "runners at once", "half-done")
_PREFIX = "faults: "


def count(record_property: Record, **tried: int) -> None:
    """Add to the counts; ``dropped_connections=3`` counts as "dropped connections"."""
    for name, number in tried.items():
        label = name.replace("_", " ").replace("half done", "half-done")
        assert label in _COUNTED
        record_property(_PREFIX + label, number)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                for name, number in report.user_properties:
                    if name.startswith(_PREFIX):
                        totals[name.removeprefix(_PREFIX)] += int(str(number))
    if totals:
        terminalreporter.write_line(
            _PREFIX + ", ".join(f"{totals[name]} {name}" for name in _COUNTED)
        )
