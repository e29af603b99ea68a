"""What the fault tests tried, as a line at the end of the test run."""

import os
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


def stride(usual: int, everywhere: int = 1) -> int:
    """Every how many-th point of a sweep to try; with PARTMAN_EVERY_POINT set, as the gate does
    by `make test-faults`, more of them.
    """
    return everywhere if os.environ.get("PARTMAN_EVERY_POINT") else usual
