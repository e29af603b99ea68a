"""Shared helpers: databases on a real server, and commands as real processes."""

import asyncio
import functools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from partman.migration.ledger.files import migration_files
from tests import shared
from tests.environment import ROOT as ROOT
from tests.environment import Completed as Completed
from tests.environment import clean_environment as clean_environment
from tests.environment import script as script
from tests.faults.processes import DEADLINE, Zygote

SERVER_VARIABLE = "PARTMAN_TEST_DATABASE_URL"
MIGRATIONS = tuple(file.id for file in migration_files())
"""The IDs of the project's own migrations, oldest first."""
SIX_TABLES = {"organizations", "users", "partners", "opportunities", "quarterly_goals", "alerts"}
CONSOLE_TABLES = {"console_accounts", "console_sessions"}


@dataclass(frozen=True)
class Database:
    """A temporary database."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.removeprefix("/")

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a process that uses it, in development."""
        return {"DATABASE_URL": self.url, "PARTMAN_ENV": "development"}


def server_url() -> str:
    """Return the URL of the test server; see conftest.py."""
    return os.environ[SERVER_VARIABLE]


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def as_role(url: str, role: str) -> str:
    """Return the URL with another role: the test servers ask for no password."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}@{address}"))


def execute(url: str, *statements: str) -> None:
    """Run statements one after the other, each in its own transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def query(url: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    return asyncio.run(fetch(url, sql, *arguments))


async def fetch(url: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    """Run a query over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


class OpenSession:
    """A session that stays open for thousands of statements; a new one costs the server most."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def ask(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        asked = asyncio.run_coroutine_threadsafe(self._ask(sql, *arguments), self._loop)
        return asked.result(DEADLINE)

    async def _ask(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._url, statement_cache_size=0)
            return await self._connection.fetch(sql, *arguments)

    def close(self) -> None:
        """End it; nothing can be asked afterwards."""
        if self._connection is not None:
            ending = asyncio.run_coroutine_threadsafe(self._connection.close(), self._loop)
            ending.result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()


@functools.cache
def administrator() -> OpenSession:
    """Return this process's session, in which databases are created and dropped."""
    return OpenSession(server_url())


@contextmanager
def temporary_database(template: str | None = None) -> Iterator[Database]:
    """Create a database for the duration of a block: a clone of the template, or an empty one."""
    database = _create_database(template)
    try:
        yield database
    finally:
        administrator().ask(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")


@contextmanager
def shared_database(
    name: str, fill: Callable[[Database], None], template: str | None = None
) -> Iterator[Database]:
    """Clone a database that one worker of the run has filled for all of them."""

    def make() -> str:
        database = _create_database(template)
        fill(database)
        return database.name

    with temporary_database(shared.once(name, make)) as clone:
        yield clone


def _create_database(template: str | None) -> Database:
    name = shared.unique_name()
    # The server copies files, and does not log their contents.
    copied = f"TEMPLATE {template}" if template else ""
    administrator().ask(f"CREATE DATABASE {name} {copied} STRATEGY FILE_COPY")
    # Cloning does not copy privileges on the database.
    rights = "SELECT FROM pg_database WHERE datname = $1 AND datacl IS NOT NULL"
    if template and administrator().ask(rights, template):
        administrator().ask(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    return Database(with_database(server_url(), name))


def run(
    *command: str,
    environment: Mapping[str, str],
    stdin: str = "",
    cwd: Path = ROOT,
    level: str = "commands",
) -> Completed:
    """Run ``partman``, ``piccolo`` or ``python -m …`` to its end, forked from a zygote.

    Use run_script() to test how a process starts.
    """
    return Zygote(level).run(*command, environment=environment, cwd=cwd, stdin=stdin)


def run_script(
    *command: str,
    environment: Mapping[str, str],
    stdin: str = "",
    cwd: Path = ROOT,
    timeout: float = 60,
) -> Completed:
    """Run an installed script to its end; ``timeout`` in seconds only ends a process that hangs.

    It starts a new Python process, which takes seconds: see run().
    """
    process = subprocess.run(
        [script(command[0]), *command[1:]],
        env=clean_environment(**environment),
        cwd=cwd,
        input=stdin,
        encoding="utf-8",
        errors="surrogateescape",  # so that a test can pass invalid text
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Completed(process.returncode, process.stdout, process.stderr)


def migrate(database: Database) -> None:
    completed = run("piccolo", "migrations", "forwards", "all", environment=database.environment)
    assert completed.code == 0, completed.output
