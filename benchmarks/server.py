"""A PostgreSQL server for one benchmark, so that no other work is measured.

Linux only: the CPU time of the server's processes is read from /proc.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from partman.database import embedded

_TICK = os.sysconf("SC_CLK_TCK")
_SETTINGS = (
    # Autovacuum would add CPU time that no command caused.
    "ALTER SYSTEM SET autovacuum = off",
    "ALTER SYSTEM SET fsync = off",
    # As a server has it that was not made for tests.
    "ALTER SYSTEM SET synchronous_commit = on",
    "ALTER SYSTEM SET full_page_writes = on",
    # Where commits are counted; a new scratch database brings a checkpoint.
    "ALTER SYSTEM SET wal_keep_size = '1GB'",
    "SELECT pg_reload_conf()",
    "CREATE EXTENSION IF NOT EXISTS pg_walinspect",
)


URL_VARIABLE = "PARTMAN_TEST_DATABASE_URL"
TEST_SERVER = f"on the server of {URL_VARIABLE}, on this machine, which nobody else uses"
"""What the option of this name does."""


@dataclass(frozen=True)
class Counters:
    """Counters of the server; the difference of two is the cost of the command in between."""

    cpu: float
    """CPU seconds of the processes of closed connections."""
    connections: int
    wal_position: str


class Server:
    """A PostgreSQL for the duration of a benchmark.

    It has a database and a role ``partman`` and a superuser ``postgres``, and runs on this machine.
    """

    def __init__(self, url: str, psql: str, psql_environment: dict[str, str]) -> None:
        self.url, self.psql, self.psql_environment = url, psql, psql_environment
        self._superuser_url = self.database_url("postgres", "postgres")
        self._loop = asyncio.new_event_loop()
        self._connection: Any = self._loop.run_until_complete(asyncpg.connect(self._superuser_url))
        pid = str(self.administer("SELECT pg_read_file('postmaster.pid')")[0][0]).split()[0]
        self._process = Path(f"/proc/{pid}")
        for statement in _SETTINGS:
            self.administer(statement)
        self._permanent_processes = self._children()
        self._renamed = itertools.count(1)

    def close(self) -> None:
        """Disconnect. Does not stop the server."""
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    def database_url(self, database: str, user: str | None = None) -> str:
        """Return the URL of a database of this server."""
        parts = urlsplit(self.url)
        network = parts.netloc.replace("partman", user) if user else parts.netloc
        return urlunsplit(parts._replace(netloc=network, path=f"/{database}"))

    @property
    def version(self) -> str:
        """PostgreSQL's version, without what a packager adds."""
        return str(self.administer("SHOW server_version")[0][0]).split()[0]

    def administer(self, sql: str, *arguments: Any) -> list[Any]:
        """Run a statement as superuser, in a process that is not measured."""
        return list(self._loop.run_until_complete(self._connection.fetch(sql, *arguments)))

    def execute(self, database: str, *statements: str, user: str | None = None) -> list[Any]:
        """Run statements in a database; return the rows of the last one.

        ``user`` defaults to the role that the commands use.
        """

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.database_url(database, user))
            try:
                rows: list[Any] = []
                for statement in statements:
                    rows = list(await connection.fetch(statement))
                return rows
            finally:
                await connection.close()

        return self._loop.run_until_complete(run())

    def create(self, database: str, template: str = "template1") -> str:
        """Drop and create a database, with a warm catalog cache file; return its name."""
        self.administer(f"DROP DATABASE IF EXISTS {database}")
        self.administer(f"CREATE DATABASE {database} OWNER partman TEMPLATE {template}")
        self.execute(database, "SELECT 1")
        self.settle()
        return database

    def renew(self, database: str, template: str = "template1") -> str:
        """As create(), but keep the database that has the name, under another one.

        ext4 without a journal passes over the inodes of files that were removed a few minutes
        ago: a command that creates files would pay for each file of the databases dropped before.
        """
        if self.administer("SELECT FROM pg_database WHERE datname = $1", database):
            other = f"{database}_{next(self._renamed)}"
            self.administer(f"ALTER DATABASE {database} RENAME TO {other}")
        return self.create(database, template)

    def counters(self, database: str) -> Counters:
        """Return the counters, once all other connections are closed."""
        self.settle()
        sessions = "SELECT sessions FROM pg_stat_database WHERE datname = $1"
        return Counters(
            cpu=self._cpu_of_ended_processes(),
            connections=self.administer(sessions, database)[0][0],
            wal_position=self.administer("SELECT pg_current_wal_insert_lsn()::text")[0][0],
        )

    def commits(self, since: Counters) -> int:
        """Return how many transactions with changes were committed since then."""
        # This commit flushes the WAL of all earlier ones.
        self.administer("SELECT pg_logical_emit_message(true, 'benchmark', '')")
        rows = self.administer(
            "SELECT count(*) - 1"
            f" FROM pg_get_wal_records_info('{since.wal_position}', pg_current_wal_flush_lsn())"
            " WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'"
        )
        return int(rows[0][0])

    def settle(self) -> None:
        """Wait until the server processes of all other connections have ended."""
        deadline = time.monotonic() + 30
        while not self._children() <= self._permanent_processes:
            if time.monotonic() > deadline:
                raise TimeoutError("a connection to the benchmark's server does not end")
            time.sleep(0.002)

    def _children(self) -> set[str]:
        pid = self._process.name
        return set((self._process / "task" / pid / "children").read_text().split())

    def _cpu_of_ended_processes(self) -> float:
        # Fields 16 and 17 of proc(5), counted after the command's name, which may have spaces.
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / _TICK


@contextmanager
def benchmark_server(is_given: bool) -> Iterator[Server]:
    """Use the server that is given, or run a new one, for the duration of a block."""
    with given_server() if is_given else temporary_server() as server:
        yield server


@contextmanager
def given_server() -> Iterator[Server]:
    """Use the server of URL_VARIABLE, which is thrown away afterwards."""
    url, psql = os.environ[URL_VARIABLE], shutil.which("psql")
    assert psql is not None, "it is in the package of the server"
    parts = urlsplit(url)
    environment = {
        "PGHOST": parse_qs(parts.query)["host"][0],
        "PGUSER": parts.username or "",
        "PGDATABASE": parts.path.removeprefix("/"),
    }
    with closing(Server(url, psql, environment)) as server:
        yield server


@contextmanager
def temporary_server() -> Iterator[Server]:
    """Run a new server for the duration of a block."""
    with (
        tempfile.TemporaryDirectory(prefix="partman-benchmark-") as directory,
        running(Path(directory) / "server") as server,
    ):
        yield server


@contextmanager
def kept_server(directory: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run a server for the duration of a block, on the data that ``directory`` may already have.

    ``settings`` can include those that need a restart.
    """
    with running(directory) as server:
        for name, value in settings.items():
            server.administer(f"ALTER SYSTEM SET {name} = '{value}'")
    with running(directory) as server:
        yield server


@contextmanager
def running(directory: Path) -> Iterator[Server]:
    """Run the server in a directory for the duration of a block."""
    try:
        url = embedded.start(directory)
        with closing(Server(url, *embedded.psql(directory))) as server:
            yield server
    finally:
        embedded.stop(directory)
