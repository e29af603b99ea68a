"""A real pgbouncer in front of the server: refused where a session is not ours, else welcome."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from partman.database.scratch import scratch_database
from partman.errors import ExitCode, UnsupportedServerError
from partman.settings import Settings
from tests.faults.boundaries import Boundaries, state
from tests.faults.processes import Zygote, wait_until
from tests.proxy import Proxy
from tests.support import Database

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
FORWARDS = ("piccolo", "migrations", "forwards", "all")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


@contextmanager
def pgbouncer(database: Database, folder: Path, mode: str) -> Iterator[str]:
    """Run one, and return the URL of the database behind it.

    It is no user that may go to the server's socket, so a TCP port leads there.
    """
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
    )
    as_nobody = ["-u", "nobody"] if Path("/proc/self").stat().st_uid == 0 else []
    command = [str(PGBOUNCER), "-q", *as_nobody, str(folder / "pgbouncer.ini")]
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


def test_transaction_pooling_is_refused_with_an_explanation(
    zygote: Zygote, empty_database: Database, folder: Path
) -> None:
    with pgbouncer(empty_database, folder, "transaction") as url:
        refused = zygote.run(
            *FORWARDS, environment=empty_database.environment | {"DATABASE_URL": url}
        )

    assert refused.code == ExitCode.UNSUPPORTED, refused.output
    assert "transaction pooling mode" in refused.stderr
    assert "Nothing was run. Point DATABASE_URL to the server itself" in refused.stderr
    assert state(empty_database.url).bookkeeping == (False, False)


def test_session_pooling_works(
    zygote: Zygote, boundaries: Boundaries, empty_database: Database, folder: Path
) -> None:
    with pgbouncer(empty_database, folder, "session") as url:
        ran = zygote.run(*FORWARDS, environment=empty_database.environment | {"DATABASE_URL": url})

    assert ran.code == 0, ran.output
    left = state(empty_database.url)
    assert left.ledger == boundaries.last
    assert not boundaries.verdict(left)


@pytest.mark.parametrize(("mode", "works"), [("transaction", False), ("session", True)])
def test_no_scratch_database_is_kept_by_a_session_that_is_not_ours(
    empty_database: Database, folder: Path, mode: str, works: bool
) -> None:
    """Whose lock would not say whether we are alive."""

    async def make() -> None:
        async with scratch_database(Settings.load({"DATABASE_URL": url})):
            pass

    refused = pytest.raises(UnsupportedServerError, match="transaction pooling mode")
    with pgbouncer(empty_database, folder, mode) as url, nullcontext() if works else refused:
        asyncio.run(make())
