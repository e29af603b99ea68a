"""Print what the tests tried, as lines at the end of the test run."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Record = Callable[[str, object], None]
"""pytest's record_property: passes values from a worker of pytest-xdist to its controller."""

_COUNTED = {
    "faults": ("fuzzed runs", "kills", "dropped connections", "runners at once", "half-done"),
    "isolation": ("cells", "mutants killed", "operations", "transactions", "leaks"),
    "distributed": (
        "cells", "attacks", "mutants killed", "operations", "transactions", "kills", "leaks",
    ),
}  # fmt: skip
"""The lines, and the counts in each of them."""
_OF_A_CLUSTER = "tests/distributed/"
"""The folder whose counts are all in the line of this name, and in no other."""

CITUS_VARIABLE = "PARTMAN_TEST_CITUS_URL"
"""The URL of a coordinator with two workers, as superuser."""

_PREFIX = "tried "


def count(record_property: Record, **tried: int) -> None:
    """Add to the counts; ``dropped_connections=3`` counts as "dropped connections"."""
    for name, number in tried.items():
        label = name.replace("_", " ").replace("half done", "half-done")
        assert any(label in labels for labels in _COUNTED.values())
        record_property(_PREFIX + label, number)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    totals: Counter[tuple[str, str]] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                for name, number in report.user_properties:
                    if name.startswith(_PREFIX):
                        label = name.removeprefix(_PREFIX)
                        totals[_line(report.nodeid, label), label] += int(str(number))
    for line, labels in _COUNTED.items():
        if any((line, label) in totals for label in labels):
            counts = ", ".join(f"{totals[line, label]} {label}" for label in labels)
            terminalreporter.write_line(f"{line}: {counts}")
    _say_what_needs_a_cluster(terminalreporter)


def _line(test: str, label: str) -> str:
    """Return the line in which a test's count is."""
    if test.startswith(_OF_A_CLUSTER):
        return "distributed"
    return next(line for line, labels in _COUNTED.items() if label in labels)


def _say_what_needs_a_cluster(terminalreporter: Any) -> None:
    folders = [str(each).rstrip("/") for each in terminalreporter.config.args]
    meant = any(each.endswith(("tests", "tests/distributed")) for each in folders)
    if meant and CITUS_VARIABLE not in os.environ:
        terminalreporter.write_line(
            f"distributed: NOTHING WAS TRIED ON A CLUSTER. Set {CITUS_VARIABLE} to the URL of a "
            "superuser on a Citus coordinator with two workers"
        )


def thorough() -> bool:
    """Whether to try everything: with PARTMAN_EVERY_POINT=1."""
    return os.environ.get("PARTMAN_EVERY_POINT") == "1"


def some_on_every_version(points: Iterable[object], step: int) -> list[object]:
    """Return the points of a sweep for parametrize; the second server tries each ``step``-th.

    For points that differ in what the tests or partman make of a text: what they ask of the server
    is the same. With PARTMAN_EVERY_POINT=1 the second server tries all.
    """
    marked: list[object] = []
    for number, point in enumerate(points):
        values = point if isinstance(point, tuple) else (point,)
        tried = thorough() or number % step == 0
        marks = [] if tried else [pytest.mark.same_on_every_version]
        marked.append(pytest.param(*values, marks=marks))
    return marked


def stride(usual: int, everywhere: int = 1) -> int:
    """Return the step width of a sweep over points.

    With PARTMAN_EVERY_POINT=1 it is ``everywhere``; with 10, as in the gate, ten times that.
    """
    step = int(os.environ.get("PARTMAN_EVERY_POINT") or usual)
    return min(usual, everywhere * step)
