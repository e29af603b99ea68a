"""Plan and drift reports, created on request by ``partman`` itself in a separate process.

Both run migrations on a scratch database. In this process they would share Piccolo's engine, and
its time, with the requests.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

logger = logging.getLogger("partman.serve")

TIMEOUT = 600.0
"""Seconds after which a report is stopped."""
_GRACE = 0.3
"""Seconds that a process has to drop its scratch database before it is killed: the service has to
stop within one second.
"""


class Kind(StrEnum):
    """The kinds of reports, named after the command that creates them."""

    PLAN = "plan"
    DRIFT = "drift"


class Phase(StrEnum):
    """The state of a kind of report."""

    IDLE = "idle"
    WAITING = "waiting"
    """Another report is running: there is one scratch database at a time."""
    RUNNING = "running"


@dataclass(frozen=True)
class Report:
    """The result of a command."""

    made_at: datetime
    took: timedelta
    facts: dict[str, Any] | None
    """Its JSON output; None if it refused."""
    refusal: str
    """The reason for a refusal; empty without one."""


class Reports:
    """Creates reports one at a time, and keeps the last of each kind while the service runs."""

    def __init__(self, scratch: str, timeout: float = TIMEOUT) -> None:
        self._scratch = scratch
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._running: Kind | None = None
        self._last: dict[Kind, Report] = {}

    def request(self, kind: Kind) -> None:
        """Start a report, unless one of this kind is already running."""
        if self.phase(kind) is Phase.IDLE:
            self._tasks[kind] = asyncio.create_task(self._make(kind))

    def phase(self, kind: Kind) -> Phase:
        """Return the state of a kind of report."""
        if kind is self._running:
            return Phase.RUNNING
        task = self._tasks.get(kind)
        return Phase.IDLE if task is None or task.done() else Phase.WAITING

    def last(self, kind: Kind) -> Report | None:
        """Return the last report of a kind, or None."""
        return self._last.get(kind)

    async def close(self) -> None:
        """Stop the running report, and wait until its process has ended."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _make(self, kind: Kind) -> None:
        async with self._turn:
            self._running = kind
            began = datetime.now(UTC)
            try:
                facts, refusal = await self._ask(kind)
            finally:
                self._running = None
            ended = datetime.now(UTC)
            self._last[kind] = Report(ended, ended - began, facts, refusal)

    async def _ask(self, kind: Kind) -> tuple[dict[str, Any] | None, str]:
        """Run the command; return its output or the reason why it has none."""
        command = (sys.executable, "-m", "partman", kind, "--json", "--scratch", self._scratch)
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | {"PARTMAN_LOG_FORMAT": "json"},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C goes to the service only, which then ends this process
        )
        try:
            async with asyncio.timeout(self._timeout):
                printed, said = await process.communicate()
        except TimeoutError:
            return None, f"It took longer than {self._timeout:.0f} s and was stopped."
        finally:
            await _end(process)
        try:
            return json.loads(printed), ""
        except ValueError:
            return None, _refusal(said.decode(errors="replace"), kind, process.returncode)


async def _end(process: Process) -> None:
    """Interrupt the process, so that it drops its scratch database; kill it if needed."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        process.kill()  # the next command drops its scratch database
        await process.wait()


def _refusal(said: str, kind: Kind, code: int | None) -> str:
    """Return the refusal among the lines that a command wrote to standard error.

    Any other output goes to the log only, because its content is unknown.
    """
    for line in reversed(said.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "exit_code" in entry:
            return str(entry["message"])
    logger.error("partman %s ended with exit code %s: %s", kind, code, said.strip())
    return f"partman {kind} ended with exit code {code}. Its output is in the service's log."
