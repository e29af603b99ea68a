"""The files of the embedded server, and what they tell about it.

Everything is in ``server/`` below the project's data directory, which only its owner may enter::

    data-<id>/      what PostgreSQL calls the data directory
    new/            the same, while it is being made
    s-<id>/         the socket's folder; in /tmp instead where the path is too long for a socket
    log, log.1      what the server said since its last start, and before that
    version         which PostgreSQL was started last
    setup.lock      held by the one command that installs, starts or stops the server
    server.lock     held by the server itself

``server.lock`` is what makes kills harmless. It is taken by the command that starts the server;
the postmaster and all of its children inherit the open file, and the kernel lets go of the lock
when the last of them is gone. A process id could be a zombie's, or have passed to another process.
``setup.lock`` is inherited by initdb in the same way: whoever comes next waits for an initdb that
outlived its command.

The id is a random one, so that no two servers ever have the same paths. One whose folder was
removed lives on for up to a minute, and would write its state into the next one's files.
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
"""Nothing listens on it: it is a part of the socket's file name."""

PATIENCE = 90
"""Seconds until a wait is given up: more than a slow disk, or a crash recovery, takes."""

_LONGEST_SOCKET_PATH = 103
"""In bytes, on macOS; Linux has four more (unix(7), sun_path)."""


@dataclass(frozen=True)
class PidFile:
    """What PostgreSQL writes into postmaster.pid."""

    pid: int
    since: datetime
    state: str


class Cluster:
    """The embedded server of one data directory, running or not."""

    def __init__(self, data_directory: Path) -> None:
        # Resolved, so that it is the same one through any symbolic link.
        self.home = Path(os.path.realpath(data_directory)) / "server"
        self.new_data = self.home / "new"
        self.log = self.home / "log"
        self.version = self.home / "version"
        self.setup_lock = self.home / "setup.lock"
        self.server_lock = self.home / "server.lock"

    @property
    def id(self) -> str:
        """What tells its data from all that was or will be here; empty before the first start."""
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
        """Return where the data with an id is."""
        return self.home / f"data-{cluster_id}"

    @property
    def name(self) -> str:
        """Its ``cluster_name``, which is in the command line of each of its processes."""
        return f"partman-{self.id}"

    @property
    def socket_directory(self) -> Path:
        """Where the socket is: a folder that only its owner may enter."""
        here = self.home / f"s-{self.id}"
        # A comma separates two sockets, for the server as for its clients.
        fits = len(os.fsencode(here / self.socket_name)) <= _LONGEST_SOCKET_PATH
        if fits and not set(str(here)) & set(',"\\'):
            return here
        import hashlib  # most paths are not that long

        # The path, too: a copy of the data has the same id.
        digest = hashlib.sha256(os.fsencode(here)).hexdigest()[:16]
        return Path("/tmp", f"partman-{digest}")  # noqa: S108 -- make_private looks whose it is

    @property
    def socket_name(self) -> str:
        """The name of the socket in its folder."""
        return f".s.PGSQL.{PORT}"

    @property
    def url(self) -> str:
        """Where to connect. Its parameters stand against PGPORT and PGSSLMODE."""
        host = quote(os.fsencode(self.socket_directory), safe="")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={PORT}&sslmode=disable"

    @property
    def is_installed(self) -> bool:
        """Whether there is data."""
        return bool(self.id)

    @property
    def is_alive(self) -> bool:
        """Whether any process of the server is there, be it coming up or going down."""
        return is_held(self.server_lock)

    @property
    def is_ready(self) -> bool:
        """Whether a client could connect right now."""
        pid_file = self.read_pid_file()
        return (
            pid_file is not None
            and pid_file.state == "ready"
            and self.is_alive
            and self.is_postmaster(pid_file.pid)
            and (self.socket_directory / self.socket_name).exists()
        )

    def is_postmaster(self, pid: int) -> bool:
        """Whether a process is this server's first, not one that was given its old id."""
        return f"cluster_name={self.name}" in command_line(pid)

    def read_pid_file(self) -> PidFile | None:
        """Read postmaster.pid; None where there is none, or not all of it."""
        with suppress(FileNotFoundError, ValueError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8:  # miscadmin.h: LOCK_FILE_LINE_PM_STATUS
                since = datetime.fromtimestamp(int(lines[2]), UTC)
                return PidFile(int(lines[0]), since, lines[7].strip())
        return None


def command_line(pid: int) -> str:
    """Return how a process was started; nothing for one that is gone, or a zombie."""
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
    """Make a folder that only its owner may enter; refuse one that is there and is not.

    Raises EmbeddedServerError.
    """
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"{directory} belongs to user {found.st_uid}, and this is user {os.geteuid()}: nothing "
            "was started. Type the command as that user, or set PARTMAN_DATA_DIR to another folder."
        )
    if directory.is_symlink() or not directory.is_dir() or found.st_mode & 0o077:
        raise EmbeddedServerError(
            f"{directory} is not a folder that only its owner may enter, and the embedded server "
            f"asks for no password: nothing was started. Remove it, or: chmod 700 '{directory}'"
        )


@contextmanager
def exclusive(path: Path, awaited: str) -> Iterator[int]:
    """Hold a lock; gives its file descriptor. Processes that inherit it hold the lock too.

    Raises EmbeddedServerError if it cannot be had; ``awaited`` says what would have freed it.
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
                f"Waited {PATIENCE} seconds for {awaited}, in vain. Nothing was changed. "
                f"The lock is {path}"
            )
        yield lock
    finally:
        os.close(lock)


def is_held(path: Path) -> bool:
    """Whether any process holds a lock."""
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
    """Wait until the condition holds; return False when PATIENCE has run out."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
