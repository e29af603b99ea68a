"""Run commands in turn, and measure each in CPU time, which other processes do not affect."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import IO

from benchmarks.server import Server


@dataclass(frozen=True)
class Case:
    """A command to be measured."""

    name: str
    command: Sequence[str]
    database: str
    environment: Mapping[str, str]
    folder: Path
    prepare: Callable[[], object] | None = None
    """Prepares the database before each run; not measured."""


@dataclass(frozen=True)
class Usage:
    """What a command used, together with its children."""

    cpu: float
    """CPU seconds, user and system."""
    wall: float
    """Seconds."""
    peak: float
    """The most memory that one of its processes had, in MB."""


@dataclass
class Result:
    """The cost of a case. Times are in seconds; connections and commits are of one run."""

    case: Case
    client: list[float] = field(default_factory=list)
    """CPU time (user and system) of the command and its children, for each run."""
    server: list[float] = field(default_factory=list)
    """CPU time of the server's processes, for each run. Use the mean: the resolution is 10 ms."""
    wall: list[float] = field(default_factory=list)
    peak: float = 0.0
    """The most memory that the command or one of its children had in a run, in MB."""
    connections: int = 0
    commits: int = 0

    @property
    def cpu(self) -> float:
        """CPU time of a run, of command and server."""
        return median(self.client) + mean(self.server)


def measure(server: Server, cases: Sequence[Case], rounds: int) -> dict[str, Result]:
    """Run all cases in turn, ``rounds`` times, after one warm-up round."""
    results = {case.name: Result(case) for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            print(f"\r{number}/{rounds} {case.name:<60}", end="", file=sys.stderr, flush=True)
            _measure_once(server, results[case.name], counts=number > 0)
    print(file=sys.stderr)
    return results


def _measure_once(server: Server, result: Result, *, counts: bool) -> None:
    case = result.case
    if case.prepare:
        case.prepare()
    before = server.counters(case.database)
    used = run_for_usage(case.command, case.environment, case.folder)
    after = server.counters(case.database)
    if counts:
        result.client.append(used.cpu)
        result.wall.append(used.wall)
        result.peak = max(result.peak, used.peak)
        result.server.append(after.cpu - before.cpu)
    result.connections = after.connections - before.connections
    result.commits = server.commits(before)


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[float, float]:
    """Run a command; return its CPU time and its wall time, in seconds.

    Raises RuntimeError with the command's output if it fails.
    """
    usage = run_for_usage(command, environment, folder)
    return usage.cpu, usage.wall


def run_for_usage(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Usage:
    """Run a command; return what it used. Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile() as output:
        return _run_into(output, command, environment, folder)


def run_for_output(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    """Run a command; return its output. Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile() as output:
        _run_into(output, command, environment, folder)
        output.seek(0)
        return output.read().decode()


def _run_into(
    output: IO[bytes], command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Usage:
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        output.seek(0)
        text = output.read().decode(errors="replace")
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{text}")
    return Usage(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)
