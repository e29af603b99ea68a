"""What the documents speak of, and what goes wrong: started by their hidden commands.

Each situation is a session on DATABASE_URL that stays until somebody ends it, or the database is
dropped. But for ``service LOG``, which waits for the service that writes this log, and prints a
function of the shell: ``curl`` for the address at which it serves.
"""

import asyncio
import os
import re
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from partman.migration.ledger import lock


async def session(application: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        os.environ["DATABASE_URL"], server_settings={"application_name": application}
    )


async def long_report() -> "asyncpg.Connection[asyncpg.Record]":
    """Keep a transaction open that has read partners."""
    connection = await session("nightly report")
    await connection.execute("BEGIN")
    await connection.execute("SELECT count(*) FROM partners")
    return connection


async def another_run() -> "asyncpg.Connection[asyncpg.Record]":
    """Hold the migration lock as a running migration does."""
    connection = await session("partman forwards all")
    await lock.acquire(connection, patience=0, report=print)
    return connection


async def killed_in_a_step() -> None:
    """Kill a run of `forwards all` while it builds an index."""
    report, observer = await session("nightly report"), await session("observer")
    # The build waits for transactions that may still use an older version of the table.
    await report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM partners")
    runner = await asyncio.create_subprocess_exec(
        *("piccolo", "migrations", "forwards", "all"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    while not await _somebody_waits(observer):
        assert runner.returncode is None, "the run has ended"
        await asyncio.sleep(0.02)
    runner.kill()
    await runner.wait()
    # The server checks twice a second whether its client is still connected.
    while await _somebody_waits(observer):  # noqa: ASYNC110 -- a server has no event to wait for
        await asyncio.sleep(0.02)


async def _somebody_waits(observer: "asyncpg.Connection[asyncpg.Record]") -> bool:
    waits: bool = await observer.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'virtualxid')"
    )
    return waits


def service(log: str) -> None:
    """Print a ``curl`` function that queries the service at its actual address."""
    while not (found := re.search("serving at (http://.*)", Path(log).read_text())):
        time.sleep(0.05)
    print(f'curl() {{ situation ask {found[1]} "$2"; }}')


def ask(url: str, asked: str) -> None:
    """Print the service's response as curl does."""
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", urlsplit(asked).path)
    print(connection.getresponse().read().decode())


SESSIONS = {"long-report": long_report, "another-run": another_run}


def stay(name: str) -> None:
    """Let a child process keep the session; return when it has started."""
    begun, child_begun = os.pipe()
    if os.fork():
        os.close(child_begun)
        assert os.read(begun, 1), f"{name} did not begin"
        return
    os.setsid()

    async def begin_and_stay() -> None:
        ended = asyncio.Event()
        connection = await SESSIONS[name]()
        connection.add_termination_listener(lambda _: ended.set())
        os.write(child_begun, b".")
        await ended.wait()

    asyncio.run(asyncio.wait_for(begin_and_stay(), timeout=300))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["killed-in-a-step"]:
            asyncio.run(killed_in_a_step())
        case ["service", log]:
            service(log)
        case ["ask", url, asked]:
            ask(url, asked)
        case [name]:
            stay(name)
