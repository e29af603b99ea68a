"""Compare migration runs of stock Piccolo, partman, psql and other tools.

    python -m benchmarks.migrations [--rounds N] [--test-server] [--write]

Starts a PostgreSQL of its own, unless it is given one, writes all files to a
temporary directory, and prints the tables of docs/performance.md; --write puts them into that
document. All commands of a table run in turn, so that other load on the machine affects them
equally.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import report
from benchmarks.guard import measure_guard
from benchmarks.measure import Case, measure
from benchmarks.peers import peer_cases
from benchmarks.projects import (
    CHECK,
    FORWARDS,
    Project,
    case,
    fresh,
    many_project,
    script,
    story_project,
    whole_project,
)
from benchmarks.server import TEST_SERVER, Server, benchmark_server

MANY = 200
PICCOLO, PARTMAN = script("piccolo"), script("partman")


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migrations")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each command (default 7)")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--only", choices=["schema", "many", "guard"], help="a part of it")
    parser.add_argument("--test-server", action="store_true", help=TEST_SERVER)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="partman-projects-") as folder,
        benchmark_server(arguments.test_server) as server,
    ):
        text = "\n".join(_sections(Path(folder), server, arguments.rounds, arguments.only))
        version = server.version
    if arguments.write:
        report.write(text, version=version)
    print(text)


def _sections(folder: Path, server: Server, rounds: int, only: str | None) -> list[str]:
    text = [report.conditions(server, rounds)]
    if only in (None, "schema"):
        stock = story_project(folder / "schema-stock", server, stock=True)
        ours = story_project(folder / "schema", server, stock=False)
        text += _schema(folder, server, stock, ours, rounds)
    if only in (None, "many"):
        stock = many_project(folder / "many-stock", server, MANY, stock=True)
        ours = many_project(folder / "many", server, MANY, stock=False)
        text += _many(folder, server, stock, ours, rounds)
    if only in (None, "guard"):
        text.append(report.guard(measure_guard(folder, server, rounds)))
    return text


def _schema(folder: Path, server: Server, stock: Project, ours: Project, rounds: int) -> list[str]:
    _migrated(server, stock, "latest_stock")
    _migrated(server, ours, "latest")
    whole = whole_project(folder / "whole", server)
    up = _write(folder / "up.sql", ours.preview(server.create("empty"), "forwards", "all"))
    back = ["backwards", "partman", "--auto_agree"]
    down = _write(folder / "down.sql", ours.preview("latest", *back))
    undo = [PICCOLO, "migrations", *back]
    nothing = measure(
        server,
        [
            case("piccolo migrations forwards all, stock", FORWARDS, stock, "latest_stock"),
            case("piccolo migrations check, stock", CHECK, stock, "latest_stock"),
            case("piccolo migrations forwards all", FORWARDS, ours, "latest"),
            case("partman migrate", [PARTMAN, "migrate"], ours, "latest"),
            case("partman status", [PARTMAN, "status"], ours, "latest"),
            *peer_cases(folder / "peers", server),
            _psql("psql, reading the ledger", server, "latest", "-c", "SELECT name FROM migration"),
        ],
        rounds,
    )
    empty = measure(
        server,
        [
            fresh("piccolo migrations forwards all, stock", FORWARDS, stock, "template1"),
            fresh("piccolo migrations forwards all", FORWARDS, ours, "template1"),
            fresh("partman migrate", [PARTMAN, "migrate"], ours, "template1"),
            _psql("psql -1 -f", server, "work", "-1f", str(up), template="template1"),
            fresh("partman migrate, online ones too", [PARTMAN, "migrate"], whole, "template1"),
        ],
        rounds,
    )
    one_back = measure(
        server,
        [
            fresh("piccolo migrations backwards partman, stock", undo, stock, "latest_stock"),
            fresh("piccolo migrations backwards partman", undo, ours, "latest"),
            _psql("psql -1 -f", server, "work", "-1f", str(down), template="latest"),
        ],
        rounds,
    )
    return [
        report.table("Nothing to do", nothing),
        report.table("From an empty database to the schema", empty),
        report.table("One migration back", one_back),
    ]


def _many(folder: Path, server: Server, stock: Project, ours: Project, rounds: int) -> list[str]:
    _migrated(server, stock, "many_stock")
    _migrated(server, ours, "many")
    sql = _write(folder / "many.sql", ours.preview(server.create("empty"), "forwards", "all"))
    up = measure(
        server,
        [
            fresh("piccolo migrations forwards all, stock", FORWARDS, stock, "template1"),
            fresh("piccolo migrations forwards all", FORWARDS, ours, "template1"),
            fresh("partman migrate", [PARTMAN, "migrate"], ours, "template1"),
            _psql("psql -1 -f", server, "work", "-1f", str(sql), template="template1"),
        ],
        max(1, rounds // 2),
    )
    nothing = measure(
        server,
        [
            case("piccolo migrations forwards all, stock", FORWARDS, stock, "many_stock"),
            case("piccolo migrations forwards all", FORWARDS, ours, "many"),
            case("partman migrate", [PARTMAN, "migrate"], ours, "many"),
        ],
        rounds,
    )
    status = measure(
        server,
        [
            case("piccolo migrations check, stock", CHECK, stock, "many_stock"),
            case("piccolo migrations check", CHECK, ours, "many"),
            case("partman status", [PARTMAN, "status"], ours, "many"),
        ],
        rounds,
    )
    return [
        report.table(f"{MANY} small migrations, from an empty database", up),
        report.table(f"{MANY} small migrations, nothing to do", nothing),
        report.table(f"{MANY} small migrations, status", status),
    ]


def _psql(
    name: str, server: Server, database: str, *arguments: str, template: str | None = None
) -> Case:
    command = [server.psql, "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments]
    environment = server.psql_environment | {"PGDATABASE": database}
    prepare = _copy(server, template) if template else None
    return Case(name, command, database, environment, Path("/"), prepare)


def _copy(server: Server, template: str) -> Callable[[], object]:
    return lambda: server.renew("work", template)


def _migrated(server: Server, project: Project, database: str) -> None:
    server.create(database)
    project.migrate(database)
    server.settle()


def _write(path: Path, sql: str) -> Path:
    path.write_text(sql, "utf-8")
    return path


if __name__ == "__main__":
    main()
