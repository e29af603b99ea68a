"""Measure how commands grow with the number of migrations and of tables.

    python -m benchmarks.growth [--rounds N] [--test-server] [--write] [--migrations N ...]
        [--tables N ...]

Starts a PostgreSQL of its own, unless it is given one, and prints the tables,
or puts them into docs/performance.md.
A migration creates a table with three columns. For the growth of tables, a schema of table classes
with four columns and an index each is built by migrations of a hundred tables, and the commands
are compared with ``pg_dump -s``; another migration is pending while ``partman plan`` is measured.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Case, Result, measure
from benchmarks.projects import (
    CHECK,
    FORWARDS,
    Project,
    case,
    fresh,
    many_project,
    script,
    tables_project,
)
from benchmarks.server import TEST_SERVER, Server, benchmark_server
from partman.database import pg_dump

PART = "growth"
MIGRATIONS = (7, 200, 2000)
TABLES = (6, 500, 2000)
COMPARING = (
    ("drift",),
    ("drift", "--no-cache"),
    ("check",),
    ("check", "--no-cache"),
    ("diagram",),
    ("verify",),
)
LIVE = "live"
Results = Mapping[str, Result]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--migrations", nargs="*", type=int, default=MIGRATIONS, metavar="N")
    parser.add_argument("--tables", nargs="*", type=int, default=TABLES, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command (default 3)")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--test-server", action="store_true", help=TEST_SERVER)
    given = parser.parse_args(arguments)
    with benchmark_server(given.test_server) as server:
        version = server.version
        parts = [report.conditions(server, given.rounds)]
        if given.migrations:
            grown = {size: _of_migrations(server, size, given.rounds) for size in given.migrations}
            parts.append(report.growth("Migrations", grown))
        for size in given.tables:
            results = _of_tables(server, size, given.rounds)
            parts.append(report.table(f"{size:,} tables", results, "pg_dump -s", memory=True))
    text = "\n".join(parts)
    print(text)
    if given.write:
        report.write(text, PART, version)


def _of_migrations(server: Server, count: int, rounds: int) -> Results:
    """Measure with so many migrations: none of them pending, and then all."""
    with tempfile.TemporaryDirectory() as folder:
        project = many_project(Path(folder) / "project", server, count, stock=False)
        _migrate(project)
        looking = [
            _partman(project, "migrate"),
            _partman(project, "status"),
            case("piccolo migrations forwards all", FORWARDS, project, LIVE),
            case("piccolo migrations check", CHECK, project, LIVE),
        ]
        name = "partman migrate, from an empty database"
        running = fresh(name, [script("partman"), "migrate"], project, "template1")
        return measure(server, looking, rounds) | measure(server, [running], 1)


def _of_tables(server: Server, count: int, rounds: int) -> Results:
    """Measure with so many tables; what migrations build is known from the round of warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        project = tables_project(Path(folder) / "project", server, count)
        _migrate(project)
        cases = [_pg_dump(server), *(_partman(project, *words) for words in COMPARING)]
        results = measure(server, cases, rounds)
        project.add_pending()
        return results | measure(server, [_partman(project, "plan")], rounds)


def _migrate(project: Project) -> None:
    project.server.create(LIVE)
    project.migrate(LIVE)
    project.server.settle()


def _pg_dump(server: Server) -> Case:
    program = pg_dump.find(int(server.version.partition(".")[0]))
    assert program is not None, "the embedded server's package has it"
    environment = server.psql_environment | {"PGDATABASE": LIVE}
    return Case("pg_dump -s", [str(program), "-s"], LIVE, environment, Path("/"))


def _partman(project: Project, *words: str) -> Case:
    return case(" ".join(["partman", *words]), [script("partman"), *words], project, LIVE)


if __name__ == "__main__":
    main()
