"""A process that dies, or a connection that breaks, at any point leaves no half of a migration.

Each trial is a real command behind a proxy that ends it at the n-th answer of the server.
`make test` tries a part of these points, `make test-faults` more: all where a migration is one
commit, and every thirteenth where it is online.

Where a migration is one commit, each trial has a fresh database; how many points there are is
counted once, by a command that gets to its own end. Of an online migration some steps may be done;
then the next run goes on with it, and none may go the other way. So there the next run is the next
trial on the same database, until one gets to its own end.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain, repeat

import pytest

from partman.errors import ExitCode
from tests import shared
from tests.faults.boundaries import Boundaries, WholeState, observing
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote
from tests.summary import Record, count, stride, thorough
from tests.support import MIGRATIONS, Completed, Database, temporary_database

pytestmark = pytest.mark.same_on_every_version

AT_ONCE_UP_TO = MIGRATIONS[2]
"""The last of the migrations that are one commit each; those after it are online."""
FORWARDS = ("piccolo", "migrations", "forwards", "partman")
BACKWARDS = ("piccolo", "migrations", "backwards", "partman")
CHUNKS = 4 if thorough() else 1
"""Parts that pytest-xdist can give to different workers. Each runs the command again on states on
which another part has done so too: that pays only where there is much."""
AT_ONCE = 3
"""Trials that one worker runs side by side."""
MOST_RUNS = 50
"""After so many on one database, each ended after some steps, the online migrations are done."""


@dataclass(frozen=True)
class Trial:
    """A command that was ended at one point, and what became of the database."""

    point: int
    came_to_its_end: bool
    problem: str = ""


@dataclass(frozen=True)
class Journey:
    """A command, where it starts, and where it gets to."""

    command: tuple[str, ...]
    start: int
    """How many migrations are applied before it."""
    goal: int
    """And how many after it."""
    stride: int
    """Every how many-th point `make test` tries."""
    everywhere: int = 1
    """And `make test-faults`."""
    is_online: bool = False
    """Whether a run goes on where another one was ended."""

    @property
    def opposite(self) -> tuple[str, ...]:
        return (*BACKWARDS, "--auto_agree") if self.command[2] == "forwards" else FORWARDS


JOURNEYS = {
    "forwards": Journey((*FORWARDS, AT_ONCE_UP_TO), 0, 3, 10),
    "backwards": Journey((*BACKWARDS, "all", "--auto_agree"), 3, 0, 10),
    "online forwards": Journey((*FORWARDS, "all"), 3, len(MIGRATIONS), 100, 13, True),
    "online backwards": Journey(
        (*BACKWARDS, MIGRATIONS[3], "--auto_agree"), len(MIGRATIONS), 3, 100, 13, True
    ),
}


@dataclass(frozen=True)
class Sweep:
    """Ends one command at every point."""

    zygote: Zygote
    boundaries: Boundaries
    template: Database | None
    journey: Journey
    kills: bool
    tried_again: set[WholeState] = field(default_factory=set)
    """What the command was run on again: once on each different state that a trial left."""

    def answers(self) -> int:
        """Return how many answers the command gets if nothing ends it."""
        with self._database() as database, CuttingProxy(database, of_first=True) as proxy:
            environment = database.environment | {"DATABASE_URL": proxy.url}
            ended = self.zygote.run(*self.journey.command, environment=environment)
            assert ended.code == 0, ended.output
            return proxy.answers

    def run(self, first: int, every: int) -> list[Trial]:
        """Try every how many-th point from the first one on."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            if self.journey.is_online:
                starts = range(first, self.journey.stride + 1, every)
                return [*chain.from_iterable(pool.map(self._again_and_again, starts))]
            name = f"answers going {self.journey.command[2]}"
            answers = int(shared.once(name, lambda: str(self.answers())))
            return list(pool.map(self._once, range(first, answers + 1, every)))

    def _database(self) -> AbstractContextManager[Database]:
        return temporary_database(self.template.name if self.template else None)

    def _once(self, point: int) -> Trial:
        """End the command on a fresh database."""
        with self._database() as database, observing(database.url) as state:
            return self._try(database, state, point)

    def _again_and_again(self, first: int) -> list[Trial]:
        """End the command, and each that goes on where it was ended, until one gets to its end."""
        trials = []
        with self._database() as database, observing(database.url) as state:
            for point in (first, *repeat(self.journey.stride, MOST_RUNS)):
                trials.append(self._try(database, state, point))
                if trials[-1].problem or trials[-1].came_to_its_end:
                    return trials
        return [Trial(first, True, f"point {first}: HALF-DONE after {MOST_RUNS} runs")]

    def _try(self, database: Database, state: Callable[[], WholeState], point: int) -> Trial:
        started: Future[Process] = Future()

        def cut() -> None:
            if self.kills:
                started.result().kill()

        with CuttingProxy(database, at_answer=point, of_first=True, cut=cut) as proxy:
            environment = database.environment | {"DATABASE_URL": proxy.url}
            started.set_result(self.zygote.start(*self.journey.command, environment=environment))
            ended = started.result().wait()
        was_cut = proxy.has_cut.is_set()
        problem = self._how_it_ended(ended, was_cut) or self._what_it_left(database, state, was_cut)
        return Trial(point, not was_cut, problem and f"point {point}: {problem}\n{ended.output}")

    def _how_it_ended(self, ended: Completed, was_cut: bool) -> str:
        if not was_cut:
            return f"exit code {ended.code}" if ended.code else ""
        if self.kills:
            return "" if ended.code == -signal.SIGKILL else f"not killed, but {ended.code}"
        lost = ended.code == ExitCode.UNAVAILABLE and "Traceback" not in ended.output
        return "" if lost else f"exit code {ended.code}"

    def _what_it_left(
        self, database: Database, state: Callable[[], WholeState], was_cut: bool
    ) -> str:
        left = state()
        if problem := self.boundaries.verdict(left):
            return f"HALF-DONE: {problem}"
        if self._has_arrived(left):
            return ""
        if not was_cut:
            return f"HALF-DONE: it stopped at {left.ledger}"
        if self.journey.is_online:
            return self._goes_the_other_way(database, state, left) if left.is_interrupted else ""
        return self._is_not_repeated(database, state, left)

    def _has_arrived(self, found: WholeState) -> bool:
        return len(found.ledger) == self.journey.goal and not found.is_interrupted

    def _is_not_repeated(
        self, database: Database, state: Callable[[], WholeState], left: WholeState
    ) -> str:
        if left in self.tried_again:
            return ""
        self.tried_again.add(left)
        again = self.zygote.run(*self.journey.command, environment=database.environment)
        found = state()
        if again.code != 0 or not self._has_arrived(found):
            return f"HALF-DONE: the run after it stopped at {found.ledger}: {again.output}"
        return self.boundaries.verdict(found)

    def _goes_the_other_way(
        self, database: Database, state: Callable[[], WholeState], left: WholeState
    ) -> str:
        other = self.zygote.run(*self.journey.opposite, environment=database.environment)
        refused = other.code == ExitCode.PREFLIGHT and "was interrupted going" in other.stderr
        if refused and state().contents == left.contents:
            return ""
        return f"HALF-DONE: the other way was not refused: {other.output}"


@pytest.fixture(scope="module")
def starts(zygote: Zygote, template: Database) -> Iterator[dict[int, Database | None]]:
    """A database to clone, by how many migrations are applied."""
    with temporary_database() as at_once:
        up_to = (*FORWARDS, AT_ONCE_UP_TO)
        assert zygote.run(*up_to, environment=at_once.environment).code == 0
        yield {0: None, 3: at_once, len(MIGRATIONS): template}


@pytest.mark.parametrize("chunk", range(1, CHUNKS + 1))
@pytest.mark.parametrize("kills", [True, False], ids=["a_kill", "a_lost_connection"])
@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_kill_after_any_statement_leaves_no_half_migration(
    zygote: Zygote,
    boundaries: Boundaries,
    starts: dict[int, Database | None],
    journey: str,
    kills: bool,
    chunk: int,
    record_property: Record,
) -> None:
    way = JOURNEYS[journey]
    sweep = Sweep(zygote, boundaries, starts[way.start], way, kills)
    every = stride(way.stride, way.everywhere)
    # The two sweeps try different points: together, they try twice as many.
    first = 1 + (0 if kills else every // 2) + (chunk - 1) * every
    trials = sweep.run(first, CHUNKS * every)
    problems = [trial.problem for trial in trials if trial.problem]
    half_done = sum("HALF-DONE" in problem for problem in problems)
    tried = sum(not trial.came_to_its_end for trial in trials)
    what = "kills" if kills else "dropped_connections"
    count(record_property, **{what: tried, "half_done": half_done})
    assert not problems, "\n\n".join(problems)
    assert tried >= 1
