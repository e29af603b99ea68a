"""The files and the state of the embedded server.

Everything is in ``server/`` in the project's data directory, which only its owner can access::

    data-<id>/      PostgreSQL's data directory
    new/            the data directory while it is being created
    s-<id>/         the socket's directory; in /tmp if its path is too long for a socket
    log, log.1      the server's log since its last start, and the one before it
    version         the version of PostgreSQL that was started last
    setup.lock      held by the command that installs, starts or stops the server
    server.lock     held by the server itself

``server.lock`` shows reliably whether the server runs, even after a kill. The command that starts
the server takes it; the postmaster and all its children inherit the open file, and the kernel
releases the lock when the last of them has ended. A process ID is not reliable: it may be a
zombie's, or be reused. initdb inherits ``setup.lock`` in the same way, so the next command waits
for an initdb that outlived its command.

The id is random, so that two servers never have the same paths. A server whose directory was
removed runs on for up to a minute, and would write into the files of the next one.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from partman.errors import EmbeddedServerError

ROLE = "partman"
DATABASE = "partman"
PORT = 5432
"""Part of the socket's file name. The server listens on no TCP port."""

PATIENCE = 90
"""Seconds after which a wait times out; longer than crash recovery on a slow disk."""

_LONGEST_SOCKET_PATH = 103
"""Bytes of sun_path on macOS; Linux allows four more (unix(7))."""


@dataclass(frozen=True)
class PidFile:
    """The contents of postmaster.pid."""

    pid: int
    since: datetime
    state: str


class Cluster:
    """The embedded server of one data directory, running or not."""

    def __init__(self, data_directory: Path) -> None:
        # Resolved, so that every symbolic link leads to the same cluster.
        self.home = Path(os.path.realpath(data_directory)) / "server"
        self.new_data = self.home / "new"
        self.log = self.home / "log"
        self.version = self.home / "version"
        self.setup_lock = self.home / "setup.lock"
        self.server_lock = self.home / "server.lock"

    @property
    def id(self) -> str:
        """The random id of the data directory; empty before the first start."""
        with suppress(FileNotFoundError):
            for path in self.home.iterdir():
                if path.name.startswith("data-"):
                    return path.name.removeprefix("data-")
        return ""

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.data_named(self.id)

    def data_named(self, cluster_id: str) -> Path:
        """Return the data directory for an id."""
        return self.home / f"data-{cluster_id}"

    @property
    def name(self) -> str:
        """The ``cluster_name``, which is in the command line of each of its processes."""
        return f"partman-{self.id}"

    @property
    def socket_directory(self) -> Path:
        """The socket's directory, which only its owner can access."""
        directory = self.home / f"s-{self.id}"
        # Server and clients treat a comma as a separator between two sockets.
        fits = len(os.fsencode(directory / self.socket_name)) <= _LONGEST_SOCKET_PATH
        if fits and not set(str(directory)) & set(',"\\'):
            return directory
        import hashlib  # rarely needed

        # A hash of the whole path, because a copy of the data has the same id.
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        return Path("/tmp", f"partman-{digest}")  # noqa: S108 -- make_private checks the owner

    @property
    def socket_name(self) -> str:
        """The file name of the socket."""
        return f".s.PGSQL.{PORT}"

    @property
    def url(self) -> str:
        """The URL to connect to. Its parameters override PGPORT and PGSSLMODE."""
        host = quote(os.fsencode(self.socket_directory), safe="")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={PORT}&sslmode=disable"

    @property
    def is_installed(self) -> bool:
        """Whether a data directory exists."""
        return bool(self.id)

    @property
    def is_alive(self) -> bool:
        """Whether any process of the server runs, including during start and shutdown."""
        return is_held(self.server_lock)

    @property
    def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        pid_file = self.read_pid_file()
        return (
            pid_file is not None
            and pid_file.state == "ready"
            and self.is_alive
            and self.is_postmaster(pid_file.pid)
            and (self.socket_directory / self.socket_name).exists()
        )

    def is_postmaster(self, pid: int) -> bool:
        """Whether a process ID belongs to this server's postmaster, and was not reused."""
        return f"cluster_name={self.name}" in command_line(pid)

    def read_pid_file(self) -> PidFile | None:
        """Read postmaster.pid; return None if it does not exist or is incomplete."""
        with suppress(FileNotFoundError, ValueError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8:  # miscadmin.h: LOCK_FILE_LINE_PM_STATUS
                since = datetime.fromtimestamp(int(lines[2]), UTC)
                return PidFile(int(lines[0]), since, lines[7].strip())
        return None


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it has ended or is a zombie."""
    if sys.platform == "linux":
        with suppress(FileNotFoundError, ProcessLookupError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
        return ""
    listing = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout


def make_private(directory: Path) -> None:
    """Create a directory that only its owner can access, or check that an existing one is so.

    Raises EmbeddedServerError.
    """
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"{directory} belongs to user {found.st_uid}, but this is user {os.geteuid()}. Nothing "
            "was started. Run the command as that user, or set PARTMAN_DATA_DIR to another "
            "directory."
        )
    if directory.is_symlink() or not directory.is_dir() or found.st_mode & 0o077:
        raise EmbeddedServerError(
            f"{directory} must be a directory that only its owner can access, because the embedded "
            "server asks for no password. Nothing was started. Remove it, or run: "
            f"chmod 700 '{directory}'"
        )


@contextmanager
def exclusive(path: Path, awaited: str) -> Iterator[int]:
    """Hold a file lock; yield its file descriptor. Processes that inherit it hold the lock too.

    Raises EmbeddedServerError after PATIENCE seconds; ``awaited`` names what holds the lock.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def taken() -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    try:
        if not poll(taken):
            raise EmbeddedServerError(
                f"Timed out after {PATIENCE} seconds waiting for {awaited}. Nothing was changed. "
                f"The lock file is {path}"
            )
        yield lock
    finally:
        os.close(lock)


def is_held(path: Path) -> bool:
    """Whether any process holds a file lock."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def poll(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; return False after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
