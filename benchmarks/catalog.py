"""Measure the cost of reading a catalog, by the number of objects and of rows.

    python -m benchmarks.catalog [--rounds N]

Starts a PostgreSQL of its own, and prints a table. "First" is the first read of a session, with
empty server caches; "again" is the median of the reads after it.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import asyncpg

from benchmarks.projects import whole_project
from benchmarks.server import Server, temporary_server
from partman.catalog.read import read_catalog

_TICK = 1000 / os.sysconf("SC_CLK_TCK")
_ROWS = """
INSERT INTO organizations (name, subdomain)
SELECT 'Organization ' || n, 'organization-' || n FROM generate_series(1, 1000000) n
"""
_COPIES = """
DO $$
DECLARE n int; name text;
BEGIN
    FOR n IN 1..30 LOOP
        EXECUTE format('CREATE SCHEMA copy_%s', n);
        FOREACH name IN ARRAY ARRAY['organizations', 'users', 'partners', 'opportunities',
                                    'quarterly_goals', 'alerts'] LOOP
            EXECUTE format('CREATE TABLE copy_%s.%I (LIKE public.%2$I INCLUDING ALL)', n, name);
        END LOOP;
    END LOOP;
END
$$
"""


@dataclass(frozen=True)
class Cost:
    """The cost of reading one catalog. Times are in milliseconds."""

    objects: int
    first: float
    again: float
    server: float
    """CPU time of the server process per read, without the first."""


async def _measure(url: str, rounds: int) -> Cost:
    connection = await asyncpg.connect(url)
    try:
        times = []
        for number in range(rounds + 1):
            if number == 1:
                before = _cpu(connection.get_server_pid())
            start = time.perf_counter()
            catalog = await read_catalog(connection)
            times.append(1000 * (time.perf_counter() - start))
        server = (_cpu(connection.get_server_pid()) - before) / rounds
        return Cost(len(catalog.objects), times[0], median(times[1:]), server)
    finally:
        await connection.close()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _costs(folder: Path, server: Server, rounds: int) -> dict[str, Cost]:
    project = whole_project(folder / "schema", server)
    server.create("read")
    project.migrate("read")
    url = server.database_url("read")
    costs = {"the schema": asyncio.run(_measure(url, rounds))}
    server.execute("read", _ROWS)
    costs["with a million rows"] = asyncio.run(_measure(url, rounds))
    server.execute("read", _COPIES)
    costs["with 30 copies of the tables"] = asyncio.run(_measure(url, rounds))
    return costs


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog")
    parser.add_argument("--rounds", type=int, default=50, help="reads of each (default 50)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="partman-catalog-") as folder, temporary_server() as s:
        costs = _costs(Path(folder), s, rounds)
    print("| catalog | objects | first | again | CPU, server |\n|---|--:|--:|--:|--:|")
    for name, cost in costs.items():
        print(
            f"| {name} | {cost.objects} | {cost.first:.0f} ms | {cost.again:.0f} ms"
            f" | {cost.server:.0f} ms |"
        )


if __name__ == "__main__":
    main()
