"""Steps that wait for other sessions: try them again, and say who is in the way."""

import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from partman.database.blockers import Blockers, until_timeout
from partman.database.other_sessions import Obstacle, in_the_way
from partman.migration.runner.build_progress import build_progress
from partman.migration.runner.failures import TRY_AGAIN
from partman.migration.runner.observer import runs_without_rows
from partman.retry import Patience

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")

logger = logging.getLogger("partman.run")

LOCK_TIMEOUT_MS = 100
"""How long a step, and all sessions queued behind it, wait for a lock. Measured on 2 million rows
with 8 clients: the clients' longest wait was 117 ms, against 7.5 s without a timeout."""

SILENT = 1.0
"""Seconds for which a step waits before it says for whom."""
_EVERY = 1.0
"""Seconds between two looks at a build."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


def patience_of_a_step(seconds: float) -> Patience:
    """Return the pauses of a step that waits, up to so many seconds in all."""
    return Patience(seconds, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)


class Output(Protocol):
    """Where it is said."""

    def say(self, text: str) -> None:
        """Write a line."""

    def progress(self, text: str) -> None:
        """Write how far it is, over the line before where that is possible."""


class Report:
    """Says who is in the way: once, again when that changes, and when nobody is any more."""

    def __init__(self, what: str, output: Output) -> None:
        self._what = what
        self._output = output
        self._said: frozenset[str] = frozenset()

    def waits(self, found: Sequence[Obstacle]) -> None:
        """Say for whom it waits, if that was not said yet."""
        names = frozenset(each.name for each in found)
        if names and names != self._said:
            self._output.say(f"{self._what} waits for other sessions. {in_the_way(found)}")
            self._said = names

    def is_over(self) -> None:
        """Say that it does not wait any more, if it was said that it does."""
        if self._said:
            self._output.say(f"{self._what} waits no longer.")
            self._said = frozenset()


class Waiting:
    """What one step of an online migration waits for."""

    def __init__(self, blockers: Blockers, what: str, output: Output) -> None:
        self._blockers = blockers
        self._what = what
        self._output = output

    def report(self) -> Report:
        """Return what says for whom the step waits."""
        return Report(self._what, self._output)

    async def patiently(self, seconds: float, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again for so many seconds what gives up after a moment, as with LOCK_TIMEOUT_MS."""
        wait = patience_of_a_step(seconds)
        report = self.report()
        self._blockers.forget()
        while True:
            try:
                with self._watching_an_attempt():
                    result = await attempt()
            except TRY_AGAIN:
                if wait.waited >= SILENT:
                    report.waits(self._blockers.found)
                if not await wait.pause():
                    raise
            else:
                report.is_over()
                return result

    @contextlib.contextmanager
    def watching_a_build(self) -> Iterator[None]:
        """Say, during a statement that waits without a timeout, for whom, and how far it is."""
        if runs_without_rows():
            yield
            return
        report = self.report()
        self._blockers.forget()

        async def look(connection: "Connection[Record]") -> None:
            if found := await self._blockers.look(connection):
                report.waits(found)
            else:
                report.is_over()
            if progress := await build_progress(connection, self._blockers.pid):
                self._output.progress(f"{self._what}: {progress}")

        with self._blockers.watching(itertools.chain([SILENT], itertools.repeat(_EVERY)), look):
            yield
        report.is_over()

    def _watching_an_attempt(self) -> "contextlib.AbstractContextManager[None]":
        if runs_without_rows():
            return contextlib.nullcontext()
        timeout = LOCK_TIMEOUT_MS / 1000
        often = itertools.islice(until_timeout(timeout), 10)
        # Longer than its lock timeout it does not wait, but works.
        return self._blockers.watching(itertools.chain(often, itertools.repeat(_EVERY)))


def watching_a_statement(
    blockers: Blockers, lock_timeout: float
) -> "contextlib.AbstractContextManager[None]":
    """Find out whom a statement waits for; say it, if no timeout ends it."""
    blockers.forget()
    if lock_timeout:
        return blockers.watching(until_timeout(lock_timeout))
    return Waiting(blockers, "A statement of the migration", Log()).watching_a_build()


class Log:
    """Says it in the log."""

    def say(self, text: str) -> None:
        """Write a record."""
        logger.info("%s", text)

    def progress(self, text: str) -> None:
        """Do without: a statement in a transaction seldom has any."""
