"""Compare ``partman seed dev`` with COPY of the same rows.

    python -m benchmarks.seeds [--write] [ROWS/ORGANIZATIONS ...]

Starts a PostgreSQL of its own; prints the table, or puts it into docs/performance.md. psql copies
the rows that were seeded, from files, table by table in one transaction, into a database of its own
with the same indexes, keys and checks. A million rows take minutes, and 3 GB of disk.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT, report
from benchmarks.measure import Usage, run_for_usage
from benchmarks.projects import Project, script, whole_project
from benchmarks.server import Server, temporary_server
from seeds.identity import FIRST_ID, LAST_ID
from seeds.rows import ROW_TYPES

PART = "seeds"
EMPTY, SEEDED, COPIED = "empty", "seeded", "copied"
SIZES = ("20000/100", "20000/1000", "1000000/1000")
AS_OF = "2026-11-28"
TABLES = tuple(ROW_TYPES)
_IS_SEEDED = f"id BETWEEN '{FIRST_ID}' AND '{LAST_ID}'"


@dataclass(frozen=True)
class Size:
    """How much is seeded."""

    opportunities: int
    organizations: int


@dataclass(frozen=True)
class Cost:
    """What one way of inserting the rows used."""

    name: str
    client: Usage
    server: float
    """CPU seconds of the server's process."""

    @property
    def both(self) -> float:
        """CPU seconds of client and server."""
        return self.client.cpu + self.server


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds")
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="ROWS/ORGANIZATIONS")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    given = parser.parse_args(arguments)
    sizes = [Size(*map(int, size.split("/"))) for size in given.sizes]
    with tempfile.TemporaryDirectory(prefix="partman-seeds-") as path, temporary_server() as server:
        folder = Path(path)
        project = whole_project(folder, server)
        server.create(EMPTY)
        project.migrate(EMPTY)
        # The last one is the largest.
        text = "".join(
            _section(project, folder, size, (1, 2) if size is sizes[-1] else (1,)) for size in sizes
        )
        text = f"{report.conditions(server, 1)}{text}"
    print(text)
    if given.write:
        report.write(text, PART)


def measure(project: Project, folder: Path, size: Size, jobs: Sequence[int]) -> list[Cost]:
    """Insert the rows in each way; return COPY, and the command with each number of jobs."""
    server, ways = project.server, []
    for number in jobs:
        server.create(SEEDED, EMPTY)
        name = f"`partman seed dev{f' --jobs {number}' if number > 1 else ''}`"
        ways.append(_cost(server, SEEDED, name, _seed(size, number), project))
    script_of_copy = _written(server, folder)
    found = _counts(server, SEEDED)
    server.administer(f"DROP DATABASE {SEEDED}")
    server.create(COPIED, EMPTY)
    copy = [*_psql(server, COPIED), "-1", "-f", str(script_of_copy)]
    ways.insert(0, _cost(server, COPIED, "COPY, by psql", copy, project))
    assert _counts(server, COPIED) == found
    server.administer(f"DROP DATABASE {COPIED}")
    return ways


def _cost(
    server: Server, database: str, name: str, command: Sequence[str], project: Project
) -> Cost:
    before = server.counters(database)
    environment = {**server.psql_environment, **project.environment(database)}
    # The app is not installed.
    environment["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    used = run_for_usage(command, environment, project.folder)
    cost = Cost(name, used, server.counters(database).cpu - before.cpu)
    print(f"{name}: {cost.client.cpu:.1f} + {cost.server:.1f} s", file=sys.stderr, flush=True)
    return cost


def _seed(size: Size, jobs: int) -> list[str]:
    numbers = {"opportunities": size.opportunities, "organizations": size.organizations}
    options = [text for name, number in numbers.items() for text in (f"--{name}", str(number))]
    return [script("partman"), "seed", "dev", *options, "--as-of", AS_OF, "--jobs", str(jobs)]


def _psql(server: Server, database: str) -> list[str]:
    return [str(server.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", server.database_url(database)]


def _written(server: Server, folder: Path) -> Path:
    """Write the seeded rows into files; return the script that copies them."""
    files = {table: folder / f"{table}.copy" for table in TABLES}
    out = [
        f"\\copy (SELECT * FROM {table} WHERE {_IS_SEEDED}) TO '{file}'"
        for table, file in files.items()
    ]
    into = [f"\\copy {table} FROM '{file}'" for table, file in files.items()]
    (folder / "out.sql").write_text("\n".join(out))
    (folder / "in.sql").write_text("\n".join(into))
    command = [*_psql(server, SEEDED), "-f", str(folder / "out.sql")]
    run_for_usage(command, server.psql_environment, folder)
    return folder / "in.sql"


def _counts(server: Server, database: str) -> list[int]:
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
    return list(server.execute(database, f"SELECT {counts}")[0])


def _section(project: Project, folder: Path, size: Size, jobs: Sequence[int]) -> str:
    ways = measure(project, folder, size, jobs)
    lines = [
        "",
        f"| {size.opportunities:,} opportunities, {size.organizations:,} organizations "
        "| CPU, client | CPU, server | both | ratio | wall | peak memory of the client |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for way in ways:
        times = (way.client.cpu, way.server, way.both)
        shown = " | ".join(f"{seconds:.1f} s" for seconds in times)
        lines.append(
            f"| {way.name} | {shown} | {way.both / ways[0].both:.2f} | {way.client.wall:.0f} s | "
            f"{way.client.peak:.0f} MB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
