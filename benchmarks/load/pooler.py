"""pgbouncer in transaction mode, in front of a benchmark's server."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
_PATIENCE = 10.0
"""Seconds until it must listen."""


@contextmanager
def pgbouncer(url: str, folder: Path, servers: int) -> Iterator[str]:
    """Run one with that number of connections to the server; yield the URL behind it.

    Raises RuntimeError where it is not installed.
    """
    program = shutil.which("pgbouncer", path=_PATH)
    if program is None:
        raise RuntimeError("pgbouncer is not installed: apt-get install pgbouncer")
    parts = urlsplit(url)
    sockets = Path(parse_qs(parts.query)["host"][0])
    # It may not run as root, and another user needs a way to the server's socket.
    for each in (sockets, *sockets.parents[:-2], folder):
        if not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={sockets} port=5432 user={parts.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
"""
    )
    (folder / "pgbouncer.ini").chmod(0o644)
    as_nobody = ["-u", "nobody"] if Path("/proc/self").stat().st_uid == 0 else []
    command = [program, "-q", *as_nobody, str(folder / "pgbouncer.ini")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError("pgbouncer does not listen")
