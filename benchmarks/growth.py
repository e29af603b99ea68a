"""Measure how commands grow with the number of migrations and of tables.

    python -m benchmarks.growth [--rounds N] [--write] [--migrations N ...] [--tables N ...]

Starts PostgreSQL servers of its own, and prints the tables, or puts them into docs/performance.md.
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
from benchmarks.projects import FORWARDS, Project, many_project, script, tables_project
from benchmarks.server import Server, temporary_server
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
LIVE, NEW = "live", "new"
Results = Mapping[str, Result]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--migrations", nargs="*", type=int, default=MIGRATIONS, metavar="N")
    parser.add_argument("--tables", nargs="*", type=int, default=TABLES, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command (default 3)")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    given = parser.parse_args(arguments)
    with temporary_server() as server:
        parts = [report.conditions(server, given.rounds)]
    if given.migrations:
        migrations = {size: _of_migrations(size, given.rounds) for size in given.migrations}
        parts.append(report.growth("Migrations", migrations))
    parts += [
        report.table(f"{size:,} tables", _of_tables(size, given.rounds), "pg_dump -s")
        for size in given.tables
    ]
    text = "\n".join(parts)
    print(text)
    if given.write:
        report.write(text, PART)


def _of_migrations(count: int, rounds: int) -> Results:
    """Measure with so many migrations: all of them pending, and then none."""
    with tempfile.TemporaryDirectory() as folder, temporary_server() as server:
        project = many_project(Path(folder) / "project", server, count, stock=False)
        server.create(LIVE)
        project.migrate(LIVE)
        server.settle()
        looking = [
            _case(project, "migrate"),
            _case(project, "status"),
            _command(project, "piccolo migrations forwards all", FORWARDS),
            _command(
                project, "piccolo migrations check", [script("piccolo"), "migrations", "check"]
            ),
        ]
        running = Case(
            "partman migrate, from an empty database",
            [script("partman"), "migrate"],
            NEW,
            project.environment(NEW),
            project.folder,
            lambda: server.create(NEW),
        )
        return measure(server, looking, rounds) | measure(server, [running], 1)


def _of_tables(count: int, rounds: int) -> Results:
    """Measure with so many tables; what migrations build is known from the round of warm-up."""
    with tempfile.TemporaryDirectory() as folder, temporary_server() as server:
        project = tables_project(Path(folder) / "project", server, count)
        server.create(LIVE)
        project.migrate(LIVE)
        server.settle()
        cases = [_pg_dump(server), *(_case(project, *words) for words in COMPARING)]
        results = measure(server, cases, rounds)
        project.add_pending()
        return results | measure(server, [_case(project, "plan")], rounds)


def _pg_dump(server: Server) -> Case:
    program = pg_dump.find(int(server.version.partition(".")[0]))
    assert program is not None, "the embedded server's package has it"
    environment = server.psql_environment | {"PGDATABASE": LIVE}
    return Case("pg_dump -s", [str(program), "-s"], LIVE, environment, Path("/"))


def _case(project: Project, *words: str) -> Case:
    return _command(project, " ".join(["partman", *words]), [script("partman"), *words])


def _command(project: Project, name: str, command: Sequence[str]) -> Case:
    return Case(name, command, LIVE, project.environment(LIVE), project.folder)


if __name__ == "__main__":
    main()
