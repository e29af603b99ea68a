"""Load the example application with many clients of many organizations at once.

    python -m benchmarks.example [--seconds N] [--clients N] [--organizations N] [--write]
        [--database URL]

Starts a PostgreSQL of its own, and calls the application without a network: over a pool of five
connections, and through pgbouncer in transaction mode with five connections to the server; each
once more with a tenth of the requests cancelled at a random moment. Each answer is checked for rows
of another organization, and the database afterwards. Prints the table of docs/performance.md;
--write puts it into that document. Ends with 1 if there was an error or a foreign row.

--database is that of its owner, migrated, and of nobody else: for docs/scale.md a distributed one.
It gets the organizations, and is called over the pool alone.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

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
    parser.add_argument("--database", metavar="URL", help="instead of a server of its own")
    given = parser.parse_args(arguments)
    if given.database and given.write:
        parser.error("docs/performance.md has the figures of a server of its own: drop --write")
    os.environ.setdefault("PARTMAN_SECRET", secrets.token_hex())
    with ExitStack() as stack:
        if given.database:
            text, runs = "", _runs(given.database, _direct(given.database), given)
        else:
            server = stack.enter_context(temporary_server())
            text = report.conditions(server, 1)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            runs = _on_a_server(server, folder, given)
        measured = []
        for each in runs:
            print(f"{each.title}: {each.outcome.errors or 'no errors'}", file=sys.stderr)
            measured.append(each)
    text += render(measured)
    print(text)
    if given.write:
        report.write(text, PART)
    return 0 if all(each.is_clean for each in measured) else 1


def _on_a_server(server: Server, folder: Path, given: argparse.Namespace) -> Iterator[Measured]:
    owner = server.database_url(server.create("example"))
    with (
        project_engine(PartmanEngine).working_on(
            Settings.load({"DATABASE_URL": owner, "PARTMAN_ENV": "test"})
        ),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        asyncio.run(run_forwards())
    server.administer("ALTER ROLE partman_api LOGIN")
    direct = server.database_url("example", "partman_api")
    with pgbouncer(direct, folder, POOL) as pooled:
        behind = {f"pgbouncer, {POOL} connections": Way(pooled, "transaction", 4 * POOL)}
        yield from _runs(owner, _direct(direct) | behind, given)


def _direct(url: str) -> dict[str, Way]:
    """Return the way of the application's login, whatever login the URL has."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    login = urlunsplit(parts._replace(netloc=f"partman_api@{address}"))
    return {f"a pool of {POOL}": Way(login, "none", POOL)}


def _runs(owner: str, ways: Mapping[str, Way], given: argparse.Namespace) -> Iterator[Measured]:
    partners = asyncio.run(fill(owner, given.organizations))
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
