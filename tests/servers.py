"""Servers of their own, for tests that the other tests on the run's server would disturb."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from partman.database import embedded
from tests import shared
from tests.support import as_role, execute


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A folder of the test run with a short path; a server in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(dir=shared.folder()))
    try:
        yield folder
    finally:
        for lock in folder.rglob("server.lock"):
            embedded.stop(lock.parent.parent)
        shutil.rmtree(folder)


def copied(stopped: Path, to: Path) -> Path:
    """Copy a stopped server to ``to``; return that folder. It has a thousand files."""
    to.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{stopped}/.", to], check=True)
    return to


def stopped_server() -> Path:
    """Return a folder with a stopped server, to be copied, made once for all workers of the run."""

    def make() -> str:
        folder = Path(tempfile.mkdtemp(dir=shared.folder()))
        # Nothing waits for the disk, and nothing is done unasked.
        execute(
            as_role(embedded.start(folder), "postgres"),
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "ALTER SYSTEM SET autovacuum = off",
        )
        embedded.stop(folder)
        return str(folder)

    return Path(shared.once("stopped", make))


@pytest.fixture(scope="session")
def stopped() -> Path:
    """A folder with a stopped server, to be copied."""
    return stopped_server()


@pytest.fixture(scope="session")
def quiet_server(stopped: Path) -> Iterator[str]:
    """The URL of a server on which no other test commits or changes roles."""
    with temporary_directory() as folder:
        yield embedded.start(copied(stopped, folder))
