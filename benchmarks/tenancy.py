"""Compare queries inside ``tenant()`` with queries that name the organization themselves.

    python -m benchmarks.tenancy [--scale N] [--rounds N] [--data FOLDER | --test-server] [--write]

Starts a PostgreSQL of its own, unless it is given one, fills it with the rows
of 2,000 organizations, and prints the tables of docs/performance.md; --write puts them into that
document. With --data the rows are created once and kept in that folder. The compared queries
alternate in one server process, and then in the next.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report as document
from benchmarks.server import TEST_SERVER, Server, given_server, kept_server
from benchmarks.tenants import report
from benchmarks.tenants.compare import Effort, compare
from benchmarks.tenants.data import Data, ensure_data
from benchmarks.tenants.entering import measure_entering
from benchmarks.tenants.leakproof import measure_forms
from benchmarks.tenants.queries import QUERIES
from partman.isolation import logins

PART = "tenancy"
OF_THE_LOGIN = {"work_mem": logins.SESSION["work_mem"]}
"""What a session of the application starts with, as far as it changes a query's cost."""
OF_THE_SERVER = {"work_mem": "4MB"}
"""PostgreSQL's own default, with which a large tenant's bitmap has no memory for its rows."""
OTHER_SETTINGS = (
    OF_THE_SERVER,
    {"plan_cache_mode": "force_custom_plan"},
    {"plan_cache_mode": "force_generic_plan"},
)
"""Settings with which queries above the target ratio are measured again."""
_BUFFERS = 3_000
"""Shared buffers in MB that hold all rows, so that no disk access is measured."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tenancy")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the rows (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="server processes (default 5)")
    parser.add_argument("--sample", type=float, default=10, help="ms of CPU time (default 10)")
    parser.add_argument("--data", type=Path, help="folder to keep the rows in")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--only", choices=["queries", "entering", "leakproof"], help="a part of it")
    parser.add_argument("--test-server", action="store_true", help=TEST_SERVER)
    given = parser.parse_args(arguments)
    buffers = max(64, round(_BUFFERS * given.scale))
    with tempfile.TemporaryDirectory(prefix="partman-tenancy-") as folder:
        keep = (given.data or Path(folder)) / "server"
        with (
            given_server()
            if given.test_server
            else kept_server(keep, {"shared_buffers": f"{buffers}MB"})
        ) as server:
            version, sections = server.version, []
            for section in _sections(Path(folder), server, given):
                print(section, flush=True)
                sections.append(section)
    if given.write:
        document.write("\n".join(sections), PART, version)


def _sections(folder: Path, server: Server, given: argparse.Namespace) -> Iterator[str]:
    data = ensure_data(server, folder, given.scale)
    effort = Effort(given.rounds, given.sample / 1000)
    yield document.conditions(server, given.rounds)
    yield report.data(data)
    if given.only in (None, "queries"):
        yield from _queries(server, data, effort)
    if given.only in (None, "entering"):
        yield report.entering(measure_entering(server, data, effort))
    if given.only in (None, "leakproof"):
        yield report.forms(measure_forms(server, data, effort))


def _queries(server: Server, data: Data, effort: Effort) -> Iterator[str]:
    missed = []
    for tenant in data.tenants:
        compared = compare(server, data, tenant, QUERIES, effort, **OF_THE_LOGIN)
        yield report.queries(tenant, compared)
        missed += [each for each in compared if each.ratio > report.TARGET]
    if missed:
        again = [
            [
                compare(server, data, each.tenant, [each.query], effort, **OF_THE_LOGIN | other)[0]
                for each in missed
            ]
            for other in OTHER_SETTINGS
        ]
        yield report.missed(missed, OTHER_SETTINGS, again)
    scans = [query for query in QUERIES if query.scans]
    largest = data.tenants[0]
    yield report.scans(
        OF_THE_SERVER, compare(server, data, largest, scans, effort, **OF_THE_SERVER)
    )


if __name__ == "__main__":
    main()
