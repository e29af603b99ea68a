"""Plan, drift and SQL, made on request by ``partman`` itself in a separate process.

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

from partman.migration.ledger.status import Status

logger = logging.getLogger("partman.serve")

TIMEOUT = 600.0
"""Seconds after which a report is stopped."""
_PARTMAN = (sys.executable, "-m", "partman")
"""Of the environment in which the service runs, wherever that is."""
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


@dataclass(frozen=True)
class Script:
    """What ``partman sql`` has written."""

    sql: str | None
    """None if it refused."""
    refusal: str
    """The reason for a refusal; empty without one."""


@dataclass(frozen=True)
class Standing:
    """What there is of a kind of report at one moment."""

    kind: Kind
    phase: Phase
    state: str
    """A text that changes when there is something new to show."""
    report: Report | None
    """The last one."""

    def is_outdated(self, status: Status) -> bool:
        """Whether the applied or pending migrations have changed since the report."""
        if self.report is None or (facts := self.report.facts) is None:
            return False
        if self.kind is Kind.DRIFT:
            then = {(each["app"], each["migration"]) for each in facts["applied"]}
            return then != {each.key for each in status.applied}
        pending = {each["id"] for each in facts["migrations"]} | set(facts["not_tried"])
        return (facts["version"], pending) != (
            status.version,
            {each.id for each in status.pending},
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Its phase, for JSON."""
        return {"phase": self.phase, "busy": self.phase is not Phase.IDLE, "state": self.state}

    def facts_with_report(self, status: Status) -> dict[str, Any]:
        """Its phase and the last report, for JSON."""
        made = self.report
        return self.facts | {
            "made_at": made and made.made_at,
            "took": made and made.took.total_seconds(),
            "outdated": self.is_outdated(status),
            "refusal": (made and made.refusal) or None,
            "report": made and made.facts,
        }


class Reports:
    """Creates reports one at a time, and keeps the last of each kind while the service runs."""

    def __init__(self, scratch: str, timeout: float = TIMEOUT) -> None:
        self._scratch = scratch
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._running: Kind | None = None
        self._last: dict[Kind, Report] = {}
        self._script: asyncio.Task[Script] | None = None

    def request(self, kind: Kind) -> None:
        """Start a report, unless one of this kind is already running."""
        if self._phase(kind) is Phase.IDLE:
            self._tasks[kind] = asyncio.create_task(self._make(kind))

    def standing(self, kind: Kind) -> Standing:
        """Return what there is of a kind of report now."""
        made, phase = self._last.get(kind), self._phase(kind)
        state = f"{phase} {made.made_at.isoformat() if made else 'never'}"
        return Standing(kind, phase, state, made)

    async def script(self) -> Script:
        """Return the SQL of what is pending. Requests at the same time share one."""
        if self._script is None or self._script.done():
            self._script = asyncio.create_task(self._write())
        # A client that disconnects must not cancel it for the others.
        return await asyncio.shield(self._script)

    async def close(self) -> None:
        """Stop the running report, and wait until its process has ended."""
        tasks = [*self._tasks.values(), *([self._script] if self._script else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _phase(self, kind: Kind) -> Phase:
        if kind is self._running:
            return Phase.RUNNING
        task = self._tasks.get(kind)
        return Phase.IDLE if task is None or task.done() else Phase.WAITING

    async def _write(self) -> Script:
        async with self._turn:
            run = await self._run("sql")
        if run.code == 0:
            return Script(run.printed.decode(), "")
        return Script(None, run.refusal())

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
        run = await self._run(kind, "--json")
        try:
            return json.loads(run.printed), ""
        except ValueError:
            return None, run.refusal()

    async def _run(self, *arguments: str) -> "_Run":
        process = await asyncio.create_subprocess_exec(
            *_PARTMAN,
            *arguments,
            *("--scratch", self._scratch),
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
            stopped = f"It took longer than {self._timeout:.0f} s and was stopped."
            return _Run(arguments[0], process.returncode, stopped=stopped)
        finally:
            await _end(process)
        return _Run(arguments[0], process.returncode, printed, said.decode(errors="replace"))


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


@dataclass(frozen=True)
class _Run:
    """How a command ended."""

    command: str
    code: int | None
    printed: bytes = b""
    said: str = ""
    """What it wrote to standard error."""
    stopped: str = ""
    """Why it was stopped, if it was."""

    def refusal(self) -> str:
        """Return the refusal among the lines that it wrote to standard error.

        Any other output goes to the log only, because its content is unknown.
        """
        if self.stopped:
            return self.stopped
        for line in reversed(self.said.splitlines()):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "exit_code" in entry:
                return str(entry["message"])
        ended = f"partman {self.command} ended with exit code {self.code}"
        logger.error("%s: %s", ended, self.said.strip())
        return f"{ended}. Its output is in the service's log."
