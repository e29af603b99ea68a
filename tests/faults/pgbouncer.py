"""A real pgbouncer in front of the server."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.processes import wait_until
from tests.proxy import Proxy
from tests.support import Database

_PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

needs_pgbouncer = pytest.mark.skipif(_PGBOUNCER is None, reason="pgbouncer is not installed")


@contextmanager
def pgbouncer(database: Database, folder: Path, mode: str, *settings: str) -> Iterator[str]:
    """Run one in the folder, with these lines in its file; return the URL of the database behind.

    It is no user that may go to the server's socket, so a TCP port leads there.
    """
    folder.chmod(0o755)
    user = urlsplit(database.url).username
    server = Proxy(database)
    server.open()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listens_at = free.getsockname()[1]
    (folder / "users.txt").write_text(f'"{user}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host=127.0.0.1 port={server.port} user={user}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {listens_at}
        unix_socket_dir =
        auth_type = any
        pool_mode = {mode}
        """.replace("        ", "")
        + "\n".join(settings)
    )
    as_nobody = ["-u", "nobody"] if Path("/proc/self").stat().st_uid == 0 else []
    command = [str(_PGBOUNCER), "-q", *as_nobody, str(folder / "pgbouncer.ini")]
    with (
        server,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_until(lambda: _answers(listens_at), "pgbouncer listened")
            yield f"postgresql://{user}@127.0.0.1:{listens_at}/{database.name}"
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
