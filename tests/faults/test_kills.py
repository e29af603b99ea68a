"""A process that dies, or a connection that breaks, at any point leaves no half of a migration.

Each trial is a real command on a fresh database, behind a proxy that ends it at the n-th answer
of the server. How many there are is counted once, by a command that gets to its own end.
`make test` tries a part of them, `make test-faults` more: all where a migration is one commit, and
every thirteenth where it is online. Of an online migration some steps may be done; then the next
run finishes it, and none may go the other way.
"""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

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

    @property
    def opposite(self) -> tuple[str, ...]:
        return (*BACKWARDS, "--auto_agree") if self.command[2] == "forwards" else FORWARDS


JOURNEYS = {
    "forwards": Journey((*FORWARDS, AT_ONCE_UP_TO), 0, 3, 10),
    "backwards": Journey((*BACKWARDS, "all", "--auto_agree"), 3, 0, 10),
    "online forwards": Journey((*FORWARDS, "all"), 3, len(MIGRATIONS), 120, 13),
    "online backwards": Journey(
        (*BACKWARDS, MIGRATIONS[3], "--auto_agree"), len(MIGRATIONS), 3, 120, 13
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

    def run(self, points: Iterable[int]) -> list[Trial]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._try, points))

    def _database(self) -> AbstractContextManager[Database]:
        return temporary_database(self.template.name if self.template else None)

    def _try(self, point: int) -> Trial:
        with self._database() as database:
            started: Future[Process] = Future()

            def cut() -> None:
                if self.kills:
                    started.result().kill()

            with CuttingProxy(database, at_answer=point, of_first=True, cut=cut) as proxy:
                environment = database.environment | {"DATABASE_URL": proxy.url}
                started.set_result(
                    self.zygote.start(*self.journey.command, environment=environment)
                )
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
        with observing(database.url) as state:
            return self._what_is_wrong(database, state)

    def _what_is_wrong(self, database: Database, state: Callable[[], WholeState]) -> str:
        left = state()
        if problem := self.boundaries.verdict(left):
            return f"HALF-DONE: {problem}"
        has_arrived = len(left.ledger) == self.journey.goal and not left.is_interrupted
        if has_arrived or left in self.tried_again:
            return ""
        self.tried_again.add(left)
        if left.is_interrupted and (problem := self._goes_the_other_way(database, state, left)):
            return f"HALF-DONE: {problem}"
        again = self.zygote.run(*self.journey.command, environment=database.environment)
        found = state()
        if again.code != 0 or len(found.ledger) != self.journey.goal or found.is_interrupted:
            return f"HALF-DONE: the run after it stopped at {found.ledger}: {again.output}"
        return self.boundaries.verdict(found)

    def _goes_the_other_way(
        self, database: Database, state: Callable[[], WholeState], left: WholeState
    ) -> str:
        other = self.zygote.run(*self.journey.opposite, environment=database.environment)
        refused = other.code == ExitCode.PREFLIGHT and "was interrupted going" in other.stderr
        if refused and state().contents == left.contents:
            return ""
        return f"the other way was not refused: {other.output}"


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
    answers = int(shared.once(f"answers of {journey}", lambda: str(sweep.answers())))
    trials = sweep.run(range(first, answers + 1, CHUNKS * every))
    problems = [trial.problem for trial in trials if trial.problem]
    half_done = sum("HALF-DONE" in problem for problem in problems)
    tried = sum(not trial.came_to_its_end for trial in trials)
    what = "kills" if kills else "dropped_connections"
    count(record_property, **{what: tried, "half_done": half_done})
    assert not problems, "\n\n".join(problems)
    assert tried >= 1
