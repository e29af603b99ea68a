"""The server that is measured: one of its own, so that nobody else's work is counted.

Linux only: the CPU time of the server's processes is read from /proc.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from partman.database import embedded

_TICK = os.sysconf("SC_CLK_TCK")
_SETTINGS = (
    # What an autovacuum does in the meantime is nobody's cost.
    "ALTER SYSTEM SET autovacuum = off",
    "ALTER SYSTEM SET fsync = off",
    "SELECT pg_reload_conf()",
    "CREATE EXTENSION IF NOT EXISTS pg_walinspect",
)


@dataclass(frozen=True)
class Counters:
    """What the server has done so far; the difference of two tells what a command cost it."""

    cpu: float
    """Seconds, of the processes that served connections which have ended."""
    connections: int
    wal_position: str


class Server:
    """A PostgreSQL for the duration of a benchmark."""

    def __init__(self, directory: Path) -> None:
        self.url = embedded.start(directory)
        self.psql, self.psql_environment = embedded.psql(directory)
        self._superuser_url = self.database_url("postgres", "postgres")
        pid = embedded.status(directory).pid
        assert pid is not None
        self._process = Path(f"/proc/{pid}")
        self._loop = asyncio.new_event_loop()
        self._connection: Any = self._loop.run_until_complete(asyncpg.connect(self._superuser_url))
        for statement in _SETTINGS:
            self.administer(statement)
        self._always_there = self._children()

    def close(self) -> None:
        """Disconnect; the server is stopped by whoever started it."""
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    def database_url(self, database: str, user: str | None = None) -> str:
        """Return the URL of a database of this server."""
        parts = urlsplit(self.url)
        network = parts.netloc.replace("partman", user) if user else parts.netloc
        return urlunsplit(parts._replace(netloc=network, path=f"/{database}"))

    @property
    def version(self) -> str:
        """PostgreSQL's version."""
        return str(self.administer("SHOW server_version")[0][0])

    def administer(self, sql: str, *arguments: Any) -> list[Any]:
        """Run a statement as superuser, in a process that is not counted."""
        return list(self._loop.run_until_complete(self._connection.fetch(sql, *arguments)))

    def execute(self, database: str, *statements: str, user: str | None = None) -> list[Any]:
        """Run statements in a database; return the last's rows.

        They run as the role that commands use, unless another is named.
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
        """Create a database anew, with a warm catalog cache file; return its name."""
        self.administer(f"DROP DATABASE IF EXISTS {database}")
        self.administer(f"CREATE DATABASE {database} OWNER partman TEMPLATE {template}")
        self.execute(database, "SELECT 1")
        self.settle()
        return database

    def counters(self, database: str) -> Counters:
        """Return the counters, when every connection of others has ended."""
        self.settle()
        sessions = "SELECT sessions FROM pg_stat_database WHERE datname = $1"
        return Counters(
            cpu=self._cpu_of_ended_processes(),
            connections=self.administer(sessions, database)[0][0],
            wal_position=self.administer("SELECT pg_current_wal_insert_lsn()::text")[0][0],
        )

    def commits(self, since: Counters) -> int:
        """Return how many transactions that changed something were committed since then."""
        # A commit of our own, so that all before it has been written and can be read.
        self.administer("SELECT pg_logical_emit_message(true, 'benchmark', '')")
        rows = self.administer(
            "SELECT count(*) - 1"
            f" FROM pg_get_wal_records_info('{since.wal_position}', pg_current_wal_flush_lsn())"
            " WHERE resource_manager = 'Transaction' AND record_type = 'COMMIT'"
        )
        return int(rows[0][0])

    def settle(self) -> None:
        """Wait for the server's processes of all other connections to be gone."""
        deadline = time.monotonic() + 30
        while not self._children() <= self._always_there:
            if time.monotonic() > deadline:
                raise TimeoutError("a connection to the benchmark's server does not end")
            time.sleep(0.002)

    def _children(self) -> set[str]:
        pid = self._process.name
        return set((self._process / "task" / pid / "children").read_text().split())

    def _cpu_of_ended_processes(self) -> float:
        # Behind the command's name, which may hold spaces: fields 16 and 17 of proc(5).
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / _TICK


@contextmanager
def temporary_server() -> Iterator[Server]:
    """Run a server of one's own for the duration of a block."""
    with (
        tempfile.TemporaryDirectory(prefix="partman-benchmark-") as directory,
        _running(Path(directory) / "server") as server,
    ):
        yield server


@contextmanager
def kept_server(directory: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run a server for the duration of a block, with the data that earlier blocks left there.

    ``settings`` may be such as take effect only at a start.
    """
    with _running(directory) as server:
        for name, value in settings.items():
            server.administer(f"ALTER SYSTEM SET {name} = '{value}'")
    with _running(directory) as server:
        yield server


@contextmanager
def _running(directory: Path) -> Iterator[Server]:
    try:
        server = Server(directory)
        try:
            yield server
        finally:
            server.close()
    finally:
        embedded.stop(directory)
