"""What a run of the tests leaves behind, however it ends: nothing."""

import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from partman.database import embedded
from partman.database.embedded.cluster import command_line
from tests import shared
from tests.conftest import let_commands_receive_sigint
from tests.database.embedded_helpers import pid_in
from tests.environment import ROOT, clean_environment
from tests.faults.processes import Zygote, wait_until
from tests.servers import copied
from tests.support import execute, query, server_url

pytestmark = pytest.mark.same_on_every_version

RUN = """
import sys
from pathlib import Path
from tests.keeper import kept

with kept(Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None):
    print("begun", flush=True)
    sys.stdin.read()
"""


@contextmanager
def killed_run(folder: Path, prefix: str, url: str = "") -> Iterator[None]:
    """A run of the tests, which is killed after the block."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), prefix, url],
        env=clean_environment(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"begun\n"
        yield
        run.kill()


@pytest.fixture
def folder() -> Path:
    """The folder of another run."""
    return Path(tempfile.mkdtemp(dir=shared.folder()))


def test_a_killed_run_leaves_no_server_and_no_folder(folder: Path, stopped: Path) -> None:
    with killed_run(folder, "partman_test_none_"):
        embedded.start(copied(stopped, folder / "of a test"))
        server = pid_in(folder / "of a test")
    wait_until(lambda: not folder.exists(), "the keeper had cleaned up")
    assert command_line(server) == ""


def test_a_killed_run_leaves_nothing_on_a_server_that_was_there(folder: Path) -> None:
    prefix = f"partman_test_{uuid.uuid4().hex[:8]}_"
    with killed_run(folder, prefix, server_url()):
        execute(server_url(), f"CREATE DATABASE {prefix}a", f"CREATE ROLE {prefix}b")
    wait_until(lambda: not left_on_the_server(prefix), "the keeper had cleaned up")


def left_on_the_server(prefix: str) -> bool:
    sql = """
        SELECT FROM pg_database WHERE starts_with(datname, $1)
        UNION ALL SELECT FROM pg_roles WHERE starts_with(rolname, $1)
    """
    return bool(query(server_url(), sql, prefix))


def test_a_command_ends_with_the_test_that_wanted_it(zygote: Zygote) -> None:
    asleep = zygote.start("python", "-m", "timeit", "import time; time.sleep(600)", environment={})
    assert command_line(asleep.pid)
    asleep.abandon()
    wait_until(lambda: not command_line(asleep.pid), "it had ended")


def test_ctrl_c_reaches_a_command_in_a_run_that_ignores_it() -> None:
    """A shell that starts a run in the background has it ignore SIGINT, and all its children."""
    asked = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        let_commands_receive_sigint()
        output = subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert output.stdout == "default_int_handler\n"
