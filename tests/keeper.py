"""Remove what a test run leaves behind, even after Ctrl-C or SIGKILL.

Run as ``python -m tests.keeper FOLDER PREFIX [URL]``. Its standard input ends when the process that
started it ends. Then it stops the servers in the folder and removes the folder. On an existing
server, it drops the databases and roles whose names begin with the prefix.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.environment import ROOT, clean_environment

DEADLINE = 60.0
"""Seconds that a server may take to stop."""


@contextmanager
def kept(folder: Path, prefix: str, url: str | None) -> Iterator[None]:
    """Run a keeper for the duration of a block; at the end it has cleaned up."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.keeper", str(folder), prefix, *([url] if url else [])],
        env=clean_environment(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal goes to all processes of a session
    ) as keeper:
        yield
        keeper.communicate()


def main(folder: Path, prefix: str, url: str | None = None) -> None:
    """Wait for the end of the standard input, then clean up."""
    sys.stdin.read()
    for pid_file in folder.rglob("postmaster.pid"):
        with suppress(FileNotFoundError, ProcessLookupError):
            _stop(int(pid_file.read_text().splitlines()[0]))
    shutil.rmtree(folder, ignore_errors=True)
    if url:
        asyncio.run(_drop_all(url, prefix))


def _stop(server: int) -> None:
    """Stop a server as a crash would, because its data is no longer needed."""
    os.kill(server, signal.SIGQUIT)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        os.kill(server, 0)  # raises ProcessLookupError when it has ended
        time.sleep(0.01)


async def _drop_all(url: str, prefix: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for kind, catalog, column in (
            ("DATABASE", "pg_database", "datname"),
            ("ROLE", "pg_roles", "rolname"),
        ):
            left = f"SELECT {column} FROM {catalog} WHERE starts_with({column}::text, $1)"
            force = "WITH (FORCE)" if kind == "DATABASE" else ""
            for (name,) in await connection.fetch(left, prefix):
                await connection.execute(f"DROP {kind} {name} {force}")
    finally:
        await connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
