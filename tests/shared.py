"""Resources that the workers of a run share: a folder in which each is created once."""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

FOLDER_VARIABLE = "PARTMAN_TEST_FOLDER"


def create_folder() -> Path:
    """Create the folder of this run; keeper.py removes it."""
    made = Path(tempfile.mkdtemp(prefix="partman-", dir=_memory()))
    made.chmod(0o711)  # some tests run as another user in a subfolder
    os.environ[FOLDER_VARIABLE] = str(made)
    return made


def folder() -> Path:
    """Return the folder of this run. Its path is short, as the path of a socket must be."""
    return Path(os.environ[FOLDER_VARIABLE])


def prefix() -> str:
    """Return the prefix of the names of this run's databases and roles."""
    return f"partman_{folder().name.removeprefix('partman-').lower()}_"


def unique_name() -> str:
    """Return a name for a database or role, which is dropped at the end of the run."""
    return prefix() + uuid.uuid4().hex[:8]


def once(name: str, make: Callable[[], str]) -> str:
    """Return the result of ``make`` in the first worker that asked for ``name``."""
    made = folder() / f"{name}.made"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            made.write_text(make())
        return made.read_text()


def _memory() -> Path | None:
    """Return a file system in memory with room for servers, or None; containers have 64 MB."""
    memory = Path("/dev/shm")  # noqa: S108 -- a private directory is made in it
    enough = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    return memory if enough else None
