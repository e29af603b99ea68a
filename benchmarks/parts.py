"""Show where the CPU time of a run goes: 200 small migrations from an empty database.

    python -m benchmarks.parts [--rounds N] [--before PYTHON] [--write]

``--before`` is the interpreter of another checkout, whose run is shown beside. --write puts the
table into docs/performance.md. The commands run in turn on a server of their own.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks import report
from benchmarks.measure import run
from benchmarks.migrations import MANY
from benchmarks.projects import Project, many_project
from benchmarks.server import Server, temporary_server

_PROFILED = Path(__file__).with_name("profiled.py")
_COMMANDS = {
    "partman migrate": ("partman", "migrate"),
    "piccolo migrations forwards all": ("piccolo", "migrations", "forwards", "all"),
}


@dataclass(frozen=True)
class Column:
    """One command of one checkout."""

    title: str
    python: str
    arguments: Sequence[str]


Parts = Mapping[tuple[str, str], float]
"""CPU seconds, by process (client or server) and part."""


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--before", metavar="PYTHON", help="another checkout's interpreter")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    arguments = parser.parse_args()
    compared = [*columns(arguments.before)]
    with tempfile.TemporaryDirectory(prefix="partman-projects-") as folder, temporary_server() as s:
        project = many_project(Path(folder) / "many", s, MANY, stock=False)
        found = _measure(compared, project, s, arguments.rounds)
        text = f"{report.conditions(s, arguments.rounds)}\n{table(compared, found)}"
    if arguments.write:
        report.write(text, "parts")
    print(text)


def columns(before: str | None = None) -> Iterator[Column]:
    """Yield the commands that are compared."""
    for title, command in _COMMANDS.items():
        if before:
            yield Column(f"{title}, before", before, command)
        yield Column(title, sys.executable, command)


def _measure(
    compared: Iterable[Column], project: Project, server: Server, rounds: int
) -> dict[str, Parts]:
    """Return the mean of each part, after one round that does not count."""
    results: dict[str, list[Parts]] = defaultdict(list)
    for number in range(rounds + 1):
        for column in compared:
            parts = profile(column, project, server)
            if number:
                results[column.title].append(parts)
    return {
        title: {part: mean(each.get(part, 0) for each in found) for part in set().union(*found)}
        for title, found in results.items()
    }


def profile(column: Column, project: Project, server: Server) -> Parts:
    """Run a command once from an empty database; return what it used."""
    result = project.folder / "profile.json"
    environment = project.environment(server.renew("work"))
    command = [column.python, str(_PROFILED), str(result), *column.arguments]
    run(command, environment, project.folder)
    return {
        (process, part): seconds
        for process, parts in json.loads(result.read_text()).items()
        for part, seconds in parts.items()
    }


def table(compared: Sequence[Column], found: Mapping[str, Parts]) -> str:
    """Render the parts of each command, those of the first by size."""
    largest = found[compared[0].title]
    rows = sorted(set().union(*found.values()), key=lambda part: (part[0], -largest.get(part, 0)))
    lines = [
        f"| process | part | {' | '.join(each.title for each in compared)} |",
        f"|---|---|{'--:|' * len(compared)}",
    ]
    for process, part in rows:
        cells = (f"{found[each.title].get((process, part), 0) * 1000:,.0f} ms" for each in compared)
        lines.append(f"| {process} | {part} | {' | '.join(cells)} |")
    totals = (f"**{sum(found[each.title].values()) * 1000:,.0f} ms**" for each in compared)
    lines.append(f"| **both** | | {' | '.join(totals)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
