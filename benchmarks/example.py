"""Load the example application with many clients of many organizations at once.

    python -m benchmarks.example [--seconds N] [--clients N] [--organizations N] [--write]

Starts a PostgreSQL of its own, and calls the application without a network: over a pool of five
connections, and through pgbouncer in transaction mode with five connections to the server; each
once more with a tenth of the requests cancelled at a random moment. Each answer is checked for rows
of another organization, and the database afterwards. Prints the table of docs/performance.md;
--write puts it into that document. Ends with 1 if there was an error or a foreign row.
"""

import argparse
import asyncio
import contextlib
import io
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.load.clients import Load, Outcome
from benchmarks.load.data import Afterwards, fill
from benchmarks.load.pooler import pgbouncer
from benchmarks.load.run import POOL, Way, run
from benchmarks.server import Server, temporary_server
from partman.database.engine import project_engine
from partman.engine import PartmanEngine
from partman.migration.runner.piccolo_commands import run_forwards
from partman.settings import Settings

PART = "load"
CANCELLED = 0.1
"""The share of requests that are cancelled."""


@dataclass(frozen=True)
class Measured:
    """A run of the load test."""

    title: str
    outcome: Outcome
    afterwards: Afterwards

    @property
    def is_clean(self) -> bool:
        """Whether there was no error and no row of another organization."""
        after = self.afterwards
        return not (self.outcome.errors or self.outcome.foreign or after.foreign or after.lost)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print or write the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.example")
    parser.add_argument("--seconds", type=float, default=60, help="of each run (default 60)")
    parser.add_argument("--clients", type=int, default=200, help="at the same time (default 200)")
    parser.add_argument("--organizations", type=int, default=50, help="their number (default 50)")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    given = parser.parse_args(arguments)
    os.environ.setdefault("PARTMAN_SECRET", secrets.token_hex())
    with temporary_server() as server, tempfile.TemporaryDirectory() as folder:
        text = report.conditions(server, 1)
        measured = []
        for each in _measure(server, Path(folder), given):
            print(f"{each.title}: {each.outcome.errors or 'no errors'}", file=sys.stderr)
            measured.append(each)
    text += render(measured)
    print(text)
    if given.write:
        report.write(text, PART)
    return 0 if all(each.is_clean for each in measured) else 1


def _measure(server: Server, folder: Path, given: argparse.Namespace) -> Iterator[Measured]:
    owner = server.database_url(server.create("example"))
    with (
        project_engine(PartmanEngine).working_on(
            Settings.load({"DATABASE_URL": owner, "PARTMAN_ENV": "test"})
        ),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        asyncio.run(run_forwards())
    server.administer("ALTER ROLE partman_api LOGIN")
    partners = asyncio.run(fill(owner, given.organizations))
    direct = server.database_url("example", "partman_api")
    with ExitStack() as stack:
        pooled = stack.enter_context(pgbouncer(direct, folder, POOL))
        ways = {
            f"a pool of {POOL}": Way(direct, "none", POOL),
            f"pgbouncer, {POOL} connections": Way(pooled, "transaction", 4 * POOL),
        }
        for cancel, addition in ((0.0, ""), (CANCELLED, ", some requests cancelled")):
            for title, way in ways.items():
                end = time.monotonic() + given.seconds
                load = Load(given.clients, cancel, lambda end=end: time.monotonic() < end)  # type: ignore[misc]
                yield Measured(title + addition, *asyncio.run(run(owner, way, partners, load)))


def render(measured: Sequence[Measured]) -> str:
    """Return the table."""
    lines = [
        "| through | requests | a second | CPU of a request | p50 | p99 "
        "| cancelled | errors | foreign rows | lost rows |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in measured:
        seen, after = each.outcome, each.afterwards
        lines.append(
            f"| {each.title} | {seen.answered:,} | {seen.answered / seen.seconds:,.0f} "
            f"| {seen.cpu / seen.answered * 1000:,.1f} ms "
            f"| {seen.percentile(50) * 1000:,.0f} ms | {seen.percentile(99) * 1000:,.0f} ms "
            f"| {seen.cancelled:,} | {seen.errors.total()} "
            f"| {len(seen.foreign) + after.foreign} | {after.lost} |"
        )
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
