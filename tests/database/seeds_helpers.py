"""Helpers for tests of the development data: the command, the rows, waiting."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import TypeAlias

import asyncpg

from seeds.generate import SeedPlan
from seeds.rows import ROW_TYPES
from seeds.tables import seeded_tables
from tests.support import ROOT, Completed, Database, clean_environment, run

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

AS_OF = date(2026, 11, 22)
SMALL = SeedPlan(seed=1, as_of=AS_OF, organizations=2, opportunities=40)
FRESH = {"organizations": 1, "users": 1} | dict.fromkeys(list(ROW_TYPES)[2:], 0)
"""The number of rows that the migrations insert."""

STOP = 4711
"""The advisory lock at which loading can be stopped."""


def seed(database: Database, *arguments: str, stdin: str = "", **variables: str) -> Completed:
    environment = database.environment | variables
    return run("python", "-m", "seeds", *arguments, environment=environment, stdin=stdin)


async def contents(connection: Connection, condition: str = "true") -> dict[str, str]:
    """Return every row of every table, as the database prints it."""
    return {
        table: await connection.fetchval(
            f"SELECT coalesce(string_agg({table}::text, E'\n' ORDER BY id), '') "
            f"FROM {table} WHERE {condition}"
        )
        for table in ROW_TYPES
    }


async def counts(connection: Connection) -> dict[str, int]:
    return {
        table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in ROW_TYPES
    }


@asynccontextmanager
async def second_connection(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until the condition holds; the time limit only ends a hang."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 -- another process has no event to set
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(database: Database, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command in parallel to the test, and end it with the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "seeds", *arguments),
        env=clean_environment(**database.environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def kill(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL


async def nobody_else_is_connected(connection: Connection) -> bool:
    return not await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


async def waiting_for(connection: Connection, advisory_lock: int) -> int | None:
    """Return the server process that waits for a lock in this database, or None."""
    pid: int | None = await connection.fetchval(
        """
        SELECT pid FROM pg_locks
        WHERE locktype = 'advisory' AND objid::bigint = $1 AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        advisory_lock,
    )
    return pid


@asynccontextmanager
async def loading_stops(connection: Connection) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Stop loading before the first row of the last table, for the duration of a block.

    Yields a function that returns whether a load has stopped there, with rows written to the
    earlier tables.
    """
    # The first organization to load exists already.
    _, *before, last = seeded_tables()
    await connection.execute(
        f"""
        CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock({STOP}); RETURN NULL; END';
        CREATE TRIGGER stop BEFORE INSERT ON {last} EXECUTE FUNCTION stop();
        SELECT pg_advisory_lock({STOP})
        """
    )

    async def stopped() -> bool:
        written = await connection.fetchval(
            """
            SELECT count(*) FROM pg_locks
            WHERE pid = $1 AND granted AND mode = 'RowExclusiveLock'
                AND relation = ANY ($2::text[]::regclass[])
            """,
            await waiting_for(connection, STOP),
            before,
        )
        return bool(written == len(before))

    try:
        yield stopped
    finally:
        await connection.execute(f"SELECT pg_advisory_unlock({STOP})")
