"""Render results as the tables of docs/performance.md."""

import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks import ROOT
from benchmarks.guard import ROWS, Cost
from benchmarks.measure import Result
from benchmarks.server import Server

DOCUMENT = ROOT / "docs" / "performance.md"


def conditions(server: Server, rounds: int) -> str:
    """Return a sentence with the date, the machine and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({_processor()}), "
        f"{memory:.0f} GB of memory, Python {platform.python_version()}, PostgreSQL "
        f"{server.version}, Piccolo {version('piccolo')}, asyncpg {version('asyncpg')}; "
        f"{rounds} rounds.\n"
    )


def table(
    title: str, results: Mapping[str, Result], first: str = "stock", *, memory: bool = False
) -> str:
    """Render results as a table; the ratios compare with the first result, which is ``first``.

    ``memory``: whether to show how much the command had.
    """
    base = next(iter(results.values())).cpu
    lines = [
        f"### {title}\n",
        f"| command | CPU, command | CPU, server | both, / {first} | wall | connections "
        f"| commits |{' peak memory |' if memory else ''}",
        f"|---|--:|--:|--:|--:|--:|--:|{'--:|' if memory else ''}",
    ]
    lines += [
        f"| {result.case.name} | {_ms(median(result.client))} | "
        f"{_ms(result.cpu - median(result.client))} | {result.cpu / base:.2f} | "
        f"{_ms(median(result.wall))} | {result.connections} | {result.commits} |"
        f"{f' {result.peak:.0f} MB |' if memory else ''}"
        for result in results.values()
    ]
    return "\n".join(lines) + "\n"


def growth(what: str, results: Mapping[int, Mapping[str, Result]]) -> str:
    """Render the CPU time of commands, of both sides, by size; the ratio is of last to first."""
    smallest, *_, largest = results
    lines = [
        f"### {what}\n",
        f"| command | {' | '.join(f'{size:,}' for size in results)} | {largest:,} / {smallest:,} |",
        f"|---|{'--:|' * len(results)}--:|",
    ]
    for name, first in results[smallest].items():
        costs = [each[name].cpu for each in results.values()]
        lines.append(
            f"| {name} | {' | '.join(map(_ms, costs))} | {costs[-1] / first.cpu:.2f} |",
        )
    return "\n".join(lines) + "\n"


def guard(costs: list[Cost]) -> str:
    """Render the cost of the guard."""
    lines = [
        f"### The data-loss guard, beside a table of {ROWS:,} rows\n",
        "| a migration that | CPU, no guard | CPU, guard | ratio | server, no guard | and guard "
        "| rows of the big table read |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {cost.change.title} | {_ms(cost.unguarded.cpu)} | {_ms(cost.guarded.cpu)} | "
        f"{cost.guarded.cpu / cost.unguarded.cpu:.2f} | {_server(cost.unguarded)} | "
        f"{_server(cost.guarded)} | {cost.rows_read:,} |"
        for cost in costs
    ]
    return "\n".join(lines) + "\n"


OTHER_VERSION = "15"
"""The version of which the document also has tables, in parts of their own."""


def write(text: str, part: str = "measured", version: str = "") -> None:
    """Replace the tables in their part of the document; ``version`` is that of the server."""
    if version.startswith(OTHER_VERSION):
        part = f"{part}-{OTHER_VERSION}"
        text = re.sub("^(### .*)$", rf"\1, on PostgreSQL {OTHER_VERSION}", text, flags=re.MULTILINE)
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    old = DOCUMENT.read_text("utf-8")
    head, rest = old.split(begin)
    tail = rest.split(end)[1]
    DOCUMENT.write_text(f"{head}{begin}\n{text}{end}{tail}", "utf-8")


def _server(result: Result) -> str:
    return _ms(result.cpu - median(result.client))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
