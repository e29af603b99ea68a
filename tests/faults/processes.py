"""Commands as real processes, started in a few milliseconds; see tests/zygote.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from tests import shared
from tests.environment import ROOT, Completed, clean_environment

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds after which a test that waits for a condition fails. Only there to end a hang."""
_LONGEST = 300.0
"""And for the end of a command."""


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Return what the condition returns as soon as that is true, or a little later."""
    started = time.monotonic()
    while not (result := condition()):
        waited = time.monotonic() - started
        assert waited < DEADLINE, f"waited in vain until {what}"
        # Most conditions connect to the server, which takes time from what is waited for.
        time.sleep(min(max(waited / 5, 0.01), 0.1))
    return result


class Process:
    """A command that is running. It is killed when this object is dropped, or this process dies."""

    def __init__(
        self,
        zygote: Path,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        cwd: Path = ROOT,
        stdin: str = "",
    ) -> None:
        self._files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115
        self._files[0].write(stdin.encode(errors="surrogateescape"))
        self._files[0].seek(0)
        self._monitor = socket.socket(socket.AF_UNIX)
        self._monitor.settimeout(_LONGEST)
        self._monitor.connect(str(zygote))
        request = {
            "command": command,
            "environment": clean_environment(**environment),
            "cwd": str(cwd),
        }
        numbers = [file.fileno() for file in self._files]
        socket.send_fds(self._monitor, [json.dumps(request).encode() + b"\n"], numbers)
        self._answers = self._monitor.makefile()
        self.pid = int(self._answers.readline())

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> Completed:
        """Wait for its end."""
        code = int(self._answers.readline())
        completed = Completed(code, self.stdout, self.stderr)
        self.abandon()
        return completed

    def abandon(self) -> None:
        """Want nothing more of it, which ends it if it is still running."""
        self._answers.close()
        self._monitor.close()
        for file in self._files:
            file.close()

    def wait_for(self, text: str) -> None:
        """Wait until it has printed the text."""
        wait_until(lambda: text in self.stdout + self.stderr, f"it printed {text!r}")

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return _read(self._files[1])

    @property
    def stderr(self) -> str:
        return _read(self._files[2])


@dataclass(frozen=True)
class Zygote:
    """Starts processes: ``partman``, ``piccolo`` and ``python -m``."""

    level: str = "commands"
    """What they have imported when they start: see tests/zygote.py and zygote_of()."""

    def start(
        self,
        *command: str,
        environment: Mapping[str, str],
        cwd: Path = ROOT,
        stdin: str = "",
    ) -> Process:
        """Start a command."""
        return Process(shared.folder() / self.level, command, environment, cwd, stdin)

    def run(
        self,
        *command: str,
        environment: Mapping[str, str],
        cwd: Path = ROOT,
        stdin: str = "",
    ) -> Completed:
        """Run a command to its end."""
        return self.start(*command, environment=environment, cwd=cwd, stdin=stdin).wait()


def forked_scripts(level: str) -> dict[str, str]:
    """The variables with which a shell forks ``partman`` and others from a zygote.

    Of ``python``, a module, a file or a command; with other options it is a process of its own.
    """
    folder = shared.folder()
    path = f"{folder / 'bin'}{os.pathsep}{clean_environment()['PATH']}"
    return {"PATH": path, "ZYGOTE": str(folder / level)}


@contextmanager
def zygote_of(checkout: Path, level: str = "library") -> Iterator[str]:
    """Have a zygote for the commands of another checkout for the duration of a block.

    Returns its level. It has imported that checkout's partman, with the level "commands" also the
    tables, unless they are edited; but no migrations. It refuses to start commands when a file of
    the others is edited.
    """
    folder = Path(tempfile.mkdtemp(dir=shared.folder()))
    zygote = Zygote("packages").start(
        *("python", "-m", "tests.zygote", str(folder), *dict.fromkeys(("library", level))),
        environment={"PYTHONPATH": f"{checkout}{os.pathsep}{ROOT}"},
        cwd=checkout,
    )
    zygote.wait_for("ready")
    yield str(folder / level)
    zygote.abandon()


@contextmanager
def running_zygotes(folder: Path) -> Iterator[None]:
    """Have a zygote of each level listen in the folder for the duration of a block."""
    (folder / "bin").mkdir()
    fork = f"exec '{sys.executable}' -IS '{ROOT / 'tests' / 'forked_script.py'}'"
    for name, text in {
        **{program: f'{fork} {program} "$@"' for program in ("partman", "piccolo", "pytest")},
        "python": (
            f'case "$1 $2 " in -m*|-c*|*.py\\ *|-W\\ ignore*) {fork} python "$@"; esac\n'
            f"exec '{sys.executable}' \"$@\""
        ),
    }.items():
        file = folder / "bin" / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.zygote", str(folder)],
        env=clean_environment(PYTHONDONTWRITEBYTECODE=""),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal is for all processes of a session
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.stdin.close()


def _read(file: BinaryIO) -> str:
    # Not read(): the position is shared with the process that writes.
    return os.pread(file.fileno(), 1_000_000, 0).decode(errors="surrogateescape")
