"""``partman serve`` as a real process."""

import http.client
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.processes import DEADLINE, forked_scripts, wait_until
from tests.support import ROOT, clean_environment, script

_SERVE = ("serve", "--port", "0")
PARTMAN = (script("partman"), *_SERVE)
"""The service as it is installed, for the tests of how it starts."""


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Service:
    """A process of the service."""

    process: "subprocess.Popen[bytes]"
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def request(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=DEADLINE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            lowered = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, lowered, answer.read().decode())
        finally:
            connection.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a stop signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextmanager
def serving(
    folder: Path,
    environment: Mapping[str, str],
    *command: str,
    cwd: Path = ROOT,
    level: str = "service",
) -> Iterator[Service]:
    """Start the service, or another command that prints its address; its log is in ``folder``.

    A program without a path is forked from the zygote of this level.
    """
    log = folder / "log"
    variables = {"PYTHONPATH": str(ROOT), **environment, **forked_scripts(level)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command or ("partman", *_SERVE),
            env=clean_environment(**variables),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        found = re.search(r"serving at (http://[\d.:]+\d)", log.read_text())
        return found and found[1]

    try:
        url = wait_until(address, "it served")
        assert url is not None
        yield Service(process, url, log)
    finally:
        process.kill()
        process.wait()
