"""Measure the cost of a readiness probe, compared with ``SELECT 1``.

    python -m benchmarks.readiness [--rounds N] [--write]

Starts a PostgreSQL and a service of its own; prints the table, or puts it into docs/performance.md.
The compared requests alternate.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import report
from benchmarks.measure import run_for_output
from benchmarks.projects import Project, many_project, script, whole_project
from benchmarks.server import Server, temporary_server
from benchmarks.tenants.backend import cpu_of
from partman.migration.ledger.files import migration_files
from partman.migration.ledger.readiness import Watch
from partman.serve.probes.health import Probe
from partman.serve.reader import APPLICATION_NAME, Reader
from partman.settings import Settings

MANY = (200, 2000)
WARM_UP = 50
"""Rounds before the measurement."""


@dataclass(frozen=True)
class Times:
    """Medians, in seconds."""

    migrations: int
    select_1: float
    probe: float
    busy: float
    """Of a probe before which another session has committed."""
    live: float = 0
    ready: float = 0
    cpu: float = 0
    """CPU time of `/health/ready`, of the service and the server's process."""


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readiness")
    parser.add_argument("--rounds", type=int, default=2000, help="of each (default 2000)")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    # Runs in a process of its own, started in the project whose migration files it reads.
    parser.add_argument("--in-project", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_project:
        print(json.dumps(asdict(asyncio.run(_ask(arguments.rounds)))))
        return
    with tempfile.TemporaryDirectory(prefix="partman-projects-") as folder, temporary_server() as s:
        projects = (
            whole_project(Path(folder) / "schema", s),
            *(many_project(Path(folder) / f"many_{n}", s, n, stock=False) for n in MANY),
        )
        times = [
            _measure(project, f"ready_{n}", arguments.rounds) for n, project in enumerate(projects)
        ]
        text = _table(s, times, arguments.rounds)
    if arguments.write:
        report.write(text, "readiness")
    print(text)


def _measure(project: Project, database: str, rounds: int) -> Times:
    project.server.create(database)
    environment = {**project.environment(database), "PYTHONPATH": f"{project.folder}:{Path.cwd()}"}
    project.migrate(database)
    command = [sys.executable, "-m", "benchmarks.readiness", "--in-project", f"--rounds={rounds}"]
    asked = json.loads(run_for_output(command, environment, project.folder))
    with _serving(environment, project.folder) as (address, service):
        live, ready = _over_http(address, rounds, "/health/live", "/health/ready")
        processes = service, *_of_service(project.server)
        before = _cpu(processes)
        _over_http(address, rounds, "/health/ready")
        cpu = (_cpu(processes) - before) / (rounds + WARM_UP)
    return Times(**{**asked, "live": live, "ready": ready, "cpu": cpu})


def _of_service(server: Server) -> list[int]:
    """Return the server's processes that the service is connected to."""
    rows = server.administer(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    return [row[0] for row in rows]


def _cpu(processes: Sequence[int]) -> float:
    return sum(map(cpu_of, processes))


async def _ask(rounds: int) -> Times:
    """Measure without HTTP, over connections of the same kind."""
    settings = Settings.load()
    reader, other = Reader(settings), Reader(settings)
    probe = Probe(reader, Watch())
    assert (await probe.readiness()).ready
    async with other.connection() as connection:
        select_1, probed = await _in_turn(
            rounds, lambda: connection.fetchval("SELECT 1"), probe.readiness
        )
        _, busy = await _in_turn(
            rounds, lambda: connection.fetchval("SELECT pg_current_xact_id()"), probe.readiness
        )
    await reader.close()
    await other.close()
    return Times(len(migration_files()), select_1, probed, busy)


async def _in_turn(rounds: int, *questions: Callable[[], Awaitable[object]]) -> list[float]:
    """Run the questions alternately; return the median time of each."""
    times: list[list[float]] = [[] for _ in questions]
    for _ in range(rounds + WARM_UP):
        for question, taken in zip(questions, times, strict=True):
            began = time.perf_counter()
            await question()
            taken.append(time.perf_counter() - began)
    return [median(taken[WARM_UP:]) for taken in times]


def _over_http(address: str, rounds: int, *paths: str) -> list[float]:
    async def ask(path: str) -> None:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, path

    with closing(HTTPConnection(address)) as connection:
        return asyncio.run(_in_turn(rounds, *(partial(ask, path) for path in paths)))


@contextmanager
def _serving(environment: dict[str, str], folder: Path) -> Iterator[tuple[str, int]]:
    """Run the service; yield its host and port, and its process."""
    log = folder / "service.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [script("partman"), "serve", "--port", "0"], env=environment, cwd=folder, stderr=file
        )
    try:
        while "serving at " not in log.read_text():
            if process.poll() is not None:
                raise RuntimeError(f"exit code {process.returncode}: {log.read_text()}")
            time.sleep(0.05)
        address = urlsplit(log.read_text().split("serving at ")[1].split()[0]).netloc
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def _table(server: Server, times: list[Times], rounds: int) -> str:
    lines = [
        report.conditions(server, rounds),
        "| migrations | `SELECT 1` | probe | ratio | after a commit | ratio | `/health/live` "
        "| `/health/ready` | ratio | CPU | probes a second on one core |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {each.migrations} | {_us(each.select_1)} | {_us(each.probe)} "
        f"| {each.probe / each.select_1:.2f} | {_us(each.busy)} "
        f"| {each.busy / each.select_1:.2f} | {_us(each.live)} | {_us(each.ready)} "
        f"| {each.ready / each.live:.2f} | {_us(each.cpu)} | {1 / each.cpu:,.0f} |"
        for each in times
    ]
    return "\n".join(lines) + "\n"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs"


if __name__ == "__main__":
    main()
