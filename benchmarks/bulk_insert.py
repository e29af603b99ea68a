"""Compare ``bulk_insert()`` inside ``tenant()`` with COPY by the owner of the table.

    python -m benchmarks.bulk_insert [--rows N] [--rounds N] [--write]

Starts a PostgreSQL of its own; prints the table, or puts it into docs/performance.md. Both insert
the same opportunities into the same table, in turn, with its indexes, keys and checks.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from benchmarks import report
from benchmarks.projects import whole_project
from benchmarks.server import Server, temporary_server
from benchmarks.tenants.backend import cpu_of
from partman.bulk import bulk_insert
from partman.engine import PartmanEngine
from partman.settings import Settings
from partman.tables import TENANCY, Opportunity
from partman.tenant import tenant

PART = "bulk insert"
DATABASE = "bulk"


@dataclass
class Way:
    """A way to insert the rows; times in CPU seconds of this process and of the server's."""

    name: str
    insert: Callable[[], Awaitable[object]]
    pid: int
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    @property
    def both(self) -> float:
        """Median of the rounds' sums."""
        return median(map(sum, zip(self.client, self.server, strict=True)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_insert")
    parser.add_argument("--rows", type=int, default=100_000, help="rows (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="partman-bulk-") as folder,
        temporary_server() as server,
    ):
        server.create(DATABASE)
        whole_project(Path(folder), server).migrate(DATABASE)
        server.administer(f"ALTER ROLE {TENANCY.roles.api} LOGIN")
        api = server.database_url(DATABASE, TENANCY.roles.api)
        ways = asyncio.run(measure(server.database_url(DATABASE), api, given.rows, given.rounds))
        text = _table(server, given.rows, given.rounds, ways)
    print(text)
    if given.write:
        report.write(text, PART)


async def measure(owner_url: str, api_url: str, rows: int, rounds: int) -> tuple[Way, Way]:
    """Insert the rows in both ways, in turn; return COPY and ``bulk_insert()``."""
    engine = PartmanEngine(settings=Settings.load({"DATABASE_URL": api_url}), tenancy=TENANCY)
    await engine.start_connection_pool(min_size=1, max_size=1)
    owner = await asyncpg.connect(owner_url)
    try:
        organization, partners = await _organization(owner)
        given = _rows(rows, partners)
        async with tenant(organization, engine=engine) as block:
            pid = await block.connection.fetchval("SELECT pg_backend_pid()")
        ways = (
            _copy(owner, organization, given),
            _bulk_insert(engine, organization, given, pid),
        )
        for number in range(rounds):
            print(f"\rround {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
            for way in ways[:: 1 if number % 2 else -1]:
                await owner.execute("TRUNCATE opportunities")
                await _insert(way)
                found = await owner.fetchval("SELECT count(*) FROM opportunities")
                assert found == rows, way.name
        print(file=sys.stderr)
        return ways
    finally:
        await owner.close()
        await engine.close_connection_pool()


async def _insert(way: Way) -> None:
    server, client = cpu_of(way.pid), time.process_time()
    await way.insert()
    way.client.append(time.process_time() - client)
    way.server.append(cpu_of(way.pid) - server)


async def _organization(owner: Any) -> tuple[UUID, list[UUID]]:
    """Insert an organization and its partners; return the IDs."""
    organization = await owner.fetchval(
        "INSERT INTO organizations (name, subdomain) VALUES ('Bulk', 'bulk') RETURNING id"
    )
    partners = await owner.fetch(
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT $1, 'Partner ' || n, 'example.com', '{}' FROM generate_series(1, 500) AS n"
        " RETURNING id",
        organization,
    )
    return organization, [row["id"] for row in partners]


def _rows(count: int, partners: Sequence[UUID]) -> list[dict[str, Any]]:
    return [
        {
            "partner": partners[n % len(partners)],
            "customer_name": f"Customer {n}",
            "customer_contact": '{"name": "Ada Lovelace", "email": "ada@example.com"}',
            "deal_value": Decimal(n) / 100,
            "stage": "negotiation",
            "probability": n % 100,
            "expected_close_date": date(2026, 12, 1),
            "notes": "A note, as people write one.",
        }
        for n in range(count)
    ]


def _copy(owner: Any, organization: UUID, rows: Sequence[dict[str, Any]]) -> Way:
    """Return COPY of finished tuples: only sending them is measured."""
    now = datetime.now(UTC)
    others = {
        "organization": organization,
        "assigned_user": None,
        "currency": "USD",
        "actual_close_date": None,
        "commission_details": "{}",
        "attachments": "[]",
        "status": "open",
        "created_at": now,
        "updated_at": now,
    }
    columns = Opportunity._meta.columns
    whole = [{**row, **others, "id": uuid4()} for row in rows]
    records = [tuple(row[column._meta.name] for column in columns) for row in whole]
    names = [column._meta.db_column_name for column in columns]

    async def copy() -> None:
        await owner.copy_records_to_table("opportunities", records=records, columns=names)

    return Way("COPY, by the owner", copy, owner.get_server_pid())


def _bulk_insert(
    engine: PartmanEngine, organization: UUID, rows: Sequence[dict[str, Any]], pid: int
) -> Way:
    async def insert() -> None:
        async with tenant(organization, engine=engine):
            await bulk_insert(Opportunity, rows, engine=engine)

    return Way("`bulk_insert()`, in `tenant()`", insert, pid)


def _table(server: Server, rows: int, rounds: int, ways: Sequence[Way]) -> str:
    lines = [
        report.conditions(server, rounds),
        f"| {rows:,} opportunities | CPU, client | CPU, server | both | ratio |",
        "|---|--:|--:|--:|--:|",
    ]
    for way in ways:
        times = (median(way.client), median(way.server), way.both)
        shown = " | ".join(f"{seconds:.2f} s" for seconds in times)
        lines.append(f"| {way.name} | {shown} | {way.both / ways[0].both:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
