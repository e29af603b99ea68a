"""A process that dies, or a connection that breaks, at any point leaves no half of a migration.

Each trial is a real command on a fresh database, behind a proxy that ends it at the n-th answer
of the server. They go on until a command gets to its own end, so every point is tried, however
many there are; `make test` tries a part of them, `make test-faults` all.
"""

import signal
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import pytest

from partman.errors import ExitCode
from tests.faults.boundaries import Boundaries, State, state
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote
from tests.faults.summary import Record, stride
from tests.faults.summary import count as count_tried
from tests.support import Completed, Database, temporary_database

FORWARDS = ("piccolo", "migrations", "forwards", "all")
BACKWARDS = ("piccolo", "migrations", "backwards", "partman", "all", "--auto_agree")
CHUNKS = 4
"""Parts that pytest-xdist can give to different workers."""
AT_ONCE = 3
"""Trials that one worker runs side by side."""


@dataclass(frozen=True)
class Trial:
    """A command that was ended at one point, and what became of the database."""

    point: int
    came_to_its_end: bool
    problem: str = ""


@dataclass(frozen=True)
class Sweep:
    """Ends one command at every point."""

    zygote: Zygote
    boundaries: Boundaries
    template: Database | None
    command: tuple[str, ...]
    kills: bool
    tried_again: set[State] = field(default_factory=set)
    """What the command was run on again: once on each different state that a trial left."""

    def run(self, first: int, step: int) -> list[Trial]:
        """Try the points ``first``, ``first + step``, … until the command ends by itself."""
        trials: list[Trial] = []
        points = count(first, step)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not any(trial.came_to_its_end for trial in trials):
                trials += pool.map(self._try, [next(points) for _ in range(AT_ONCE)])
        return trials

    def _try(self, point: int) -> Trial:
        with temporary_database(self.template.name if self.template else None) as database:
            started: Future[Process] = Future()

            def cut() -> None:
                if self.kills:
                    started.result().kill()

            with CuttingProxy(database, at_answer=point, cut=cut) as proxy:
                environment = database.environment | {"DATABASE_URL": proxy.url}
                started.set_result(self.zygote.start(*self.command, environment=environment))
                ended = started.result().wait()
            if not proxy.has_cut.is_set():
                return Trial(point, True, f"point {point}: {ended.output}" if ended.code else "")
            problem = self._how_it_ended(ended) or self._what_it_left(database)
            return Trial(point, False, problem and f"point {point}: {problem}\n{ended.output}")

    def _how_it_ended(self, ended: Completed) -> str:
        if self.kills:
            return "" if ended.code == -signal.SIGKILL else f"not killed, but {ended.code}"
        lost = ended.code == ExitCode.UNAVAILABLE and "Traceback" not in ended.output
        return "" if lost else f"exit code {ended.code}"

    def _what_it_left(self, database: Database) -> str:
        left = state(database.url)
        if problem := self.boundaries.verdict(left):
            return f"HALF-DONE: {problem}"
        if left in self.tried_again:
            return ""
        self.tried_again.add(left)
        again = self.zygote.run(*self.command, environment=database.environment)
        found = state(database.url)
        if again.code != 0 or found.ledger != self.goal:
            return f"the run after it stopped at {found.ledger}: {again.output}"
        return self.boundaries.verdict(found)

    @property
    def goal(self) -> tuple[str, ...]:
        return self.boundaries.last if self.command == FORWARDS else self.boundaries.first


@pytest.mark.parametrize("chunk", range(1, CHUNKS + 1))
@pytest.mark.parametrize("command", [FORWARDS, BACKWARDS], ids=["forwards", "backwards"])
def test_a_kill_after_any_statement_leaves_whole_migrations(
    zygote: Zygote,
    boundaries: Boundaries,
    template: Database,
    command: tuple[str, ...],
    chunk: int,
    record_property: Record,
) -> None:
    start = template if command == BACKWARDS else None
    trials = Sweep(zygote, boundaries, start, command, kills=True).run(chunk, CHUNKS * stride(10))
    _report("kills", trials, record_property)


@pytest.mark.parametrize("chunk", range(1, CHUNKS + 1))
@pytest.mark.parametrize("command", [FORWARDS, BACKWARDS], ids=["forwards", "backwards"])
def test_a_connection_lost_after_any_statement_leaves_whole_migrations(
    zygote: Zygote,
    boundaries: Boundaries,
    template: Database,
    command: tuple[str, ...],
    chunk: int,
    record_property: Record,
) -> None:
    start = template if command == BACKWARDS else None
    trials = Sweep(zygote, boundaries, start, command, kills=False).run(chunk, CHUNKS * stride(10))
    _report("dropped_connections", trials, record_property)


def _report(what: str, trials: list[Trial], record_property: Record) -> None:
    problems = [trial.problem for trial in trials if trial.problem]
    tried = sum(not trial.came_to_its_end for trial in trials)
    half_done = sum("HALF-DONE" in problem for problem in problems)
    count_tried(record_property, **{what: tried, "half_done": half_done})
    assert not problems, "\n\n".join(problems)
    assert tried >= 1
