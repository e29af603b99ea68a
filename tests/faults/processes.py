"""Commands as real processes, started in a few milliseconds; see zygote.py."""

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
from pathlib import Path
from typing import BinaryIO, TypeVar

from tests.support import ROOT, Completed, clean_environment

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds after which a test that waits for a condition fails. Only there to end a hang."""


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Return what the condition returns as soon as that is true."""
    deadline = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)
    return result


class Process:
    """A command that is running."""

    def __init__(self, path: Path, command: tuple[str, ...], environment: Mapping[str, str]):
        self._outputs = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
        self._monitor = socket.socket(socket.AF_UNIX)
        self._monitor.settimeout(DEADLINE)
        self._monitor.connect(str(path))
        request = {"command": command, "environment": clean_environment(**environment)}
        files = [output.fileno() for output in self._outputs]
        socket.send_fds(self._monitor, [json.dumps(request).encode() + b"\n"], files)
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
        self._answers.close()
        self._monitor.close()
        for output in self._outputs:
            output.close()
        return completed

    def wait_for(self, text: str) -> None:
        """Wait until it has printed the text."""
        wait_until(lambda: text in self.stdout + self.stderr, f"it printed {text!r}")

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return _read(self._outputs[0])

    @property
    def stderr(self) -> str:
        return _read(self._outputs[1])


class Zygote:
    """Starts processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, *command: str, environment: Mapping[str, str]) -> Process:
        return Process(self._path, command, environment)

    def run(self, *command: str, environment: Mapping[str, str]) -> Completed:
        return self.start(*command, environment=environment).wait()


@contextmanager
def running_zygote(*modules: str) -> Iterator[Zygote]:
    """Start one; ``modules`` are what it imports beforehand, besides the commands."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", str(path), *modules],
            env=clean_environment(PYTHONPATH=str(ROOT)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield Zygote(path)
            process.stdin.close()


def _read(file: BinaryIO) -> str:
    # Not read(): the position is shared with the process that writes.
    return os.pread(file.fileno(), 1_000_000, 0).decode()
