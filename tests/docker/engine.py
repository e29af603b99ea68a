"""The container engine that the real runs need: the one that answers, or one of the tests' own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import Completed, clean_environment

LONG = 900
"""Seconds after which a command is given up; no test depends on it otherwise."""

PATIENCE = 60
"""Seconds that a new engine has to answer in."""

_TABLES = ("filter", "nat")
"""Those of the packet filter that an engine writes into."""


class NoEngineError(Exception):
    """There is nothing to run containers with; the message says what is missing."""


@dataclass(frozen=True)
class Engine:
    """Where ``docker`` and Compose send their commands."""

    environment: Mapping[str, str]
    compose_command: tuple[str, ...]
    ours: bool
    """Whether the tests started it, and may give any image any name."""

    def docker(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> Completed:
        return self._run("docker", *arguments, stdin=stdin, cwd=cwd)

    def compose(self, *arguments: str, cwd: Path) -> Completed:
        return self._run(*self.compose_command, *arguments, cwd=cwd)

    def succeed(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> str:
        """Run ``docker``, which must not fail, and return what it printed."""
        done = self.docker(*arguments, stdin=stdin, cwd=cwd)
        assert done.code == 0, done.output
        return done.stdout.strip()

    def _run(self, *command: str, stdin: str = "", cwd: Path | None = None) -> Completed:
        process = subprocess.run(
            command,
            env=clean_environment(**self.environment),
            cwd=cwd,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=LONG,
            check=False,
        )
        return Completed(process.returncode, process.stdout, process.stderr)


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine that answers, or one that is started; raises NoEngineError if there is neither."""
    if shutil.which("docker") is None:
        raise NoEngineError("there is no docker command")
    if _succeeds("docker", "info"):
        yield Engine({}, _compose_command(), ours=False)
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngineError("no engine answers, and starting one takes root and dockerd")
    command = _compose_command()
    with (
        folder_on_disk("partman-engine-") as folder,
        _the_network_as_it_was(),
        _started(folder) as socket,
    ):
        engine = Engine({"DOCKER_HOST": socket}, command, ours=True)
        try:
            yield engine
        finally:
            _remove_containers(engine)


@contextmanager
def folder_on_disk(prefix: str) -> Iterator[Path]:
    """A folder for much data; removed with what somebody who was killed left mounted in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))  # /tmp may be in memory
    try:
        yield folder
    finally:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted(mounts, reverse=True):
            if mount.startswith(f"{folder}/"):
                subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(folder)


def _compose_command() -> tuple[str, ...]:
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) and _succeeds(*command, "version"):
            return command
    raise NoEngineError("there is no Docker Compose")


@contextmanager
def _started(folder: Path) -> Iterator[str]:
    """Start an engine whose every file is in ``folder``, and say where it listens."""
    socket = f"unix://{folder}/socket"
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(
            [
                "dockerd",
                f"--host={socket}",
                f"--data-root={folder}/data",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/pid",
                # The usual ones are more than a machine without privileges may give.
                "--default-ulimit=nofile=4096:4096",
                "--default-ulimit=nproc=4096:4096",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests, which clean up with its help
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _succeeds("docker", "--host", socket, "info"):
            if engine.poll() is not None or time.monotonic() > deadline:
                end = (folder / "log").read_text()[-600:]
                raise NoEngineError(f"dockerd did not start here: {end}")
            time.sleep(0.2)
        yield socket
    finally:
        engine.terminate()
        try:
            engine.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()


def _remove_containers(engine: Engine) -> None:
    containers = engine.docker("ps", "--all", "--quiet").stdout.split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    engine.docker("network", "prune", "--force")


@contextmanager
def _the_network_as_it_was() -> Iterator[None]:
    """Undo what an engine leaves behind: its bridge, its packet filter's rules."""
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    bridge = Path("/sys/class/net/docker0")
    before, had_bridge = forwarding.read_text(), bridge.exists()
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False)
    # A table that is not mentioned would be left as it is.
    empty = (f"*{table}\nCOMMIT\n" for table in _TABLES if f"*{table}\n" not in saved.stdout)
    try:
        yield
    finally:
        if saved.returncode == 0:
            rules = "".join([saved.stdout, *empty])
            subprocess.run(["iptables-restore"], input=rules, text=True, check=False)
        if bridge.exists() and not had_bridge:
            subprocess.run(["ip", "link", "delete", "docker0"], check=False)
        forwarding.write_text(before)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
