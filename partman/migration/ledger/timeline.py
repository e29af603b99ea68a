"""Each migration with all that is known of it: file, ledger, runs, and what is wrong with it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from partman.migration.ledger import preflight
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.history import Entry, Outcome
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.running import read_runs
from partman.migration.ledger.status import MigrationState, Status, read_ledger, status_of
from partman.migration.ledger.step_records import Progress

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_Known = TypeVar("_Known", Entry, Problem)


class State(StrEnum):
    """Where a migration stands, in a word; of several that hold, the first."""

    RUNNING = "running"
    """A run is at it, in either direction."""
    KILLED = "killed"
    """Its last run ended without a word; the next run records that."""
    INTERRUPTED = "interrupted"
    """Online, and some of its steps are done, or undone, and not the others."""
    MISSING = "no file"
    """Applied, but this code does not have it."""
    EDITED = "edited"
    """Applied, and its file was changed since."""
    APPLIED = "applied"
    FAILED = "failed"
    """Pending, and the last attempt to run it failed."""
    PENDING = "pending"


_IN_BETWEEN = (State.RUNNING, State.KILLED, State.INTERRUPTED, State.FAILED)


@dataclass(frozen=True)
class Item:
    """One migration."""

    migration: MigrationState
    state: State
    run: Entry | None
    """The run that brought it to where it is, in either direction; None where none is recorded."""
    last: Entry | None
    """The last run, however it ended, or did not."""
    interrupted_in: int | None
    """The step that is running, was running or comes next, of an online one that is half done."""
    progress: Progress | None = None
    """How far this step is, if it is a backfill."""

    @property
    def failure(self) -> Entry | None:
        """The last run, if that failed or was killed."""
        failed = (Outcome.FAILED, Outcome.KILLED)
        return self.last if self.last is not None and self.last.outcome in failed else None

    @property
    def attempt(self) -> Entry | None:
        """The last run, if that has not brought the migration to where it should be."""
        if self.state not in _IN_BETWEEN or self.last is None:
            return None
        is_running = self.last.outcome is Outcome.RUNNING
        # A run that is under way may not have begun with this migration yet.
        return self.last if is_running is (self.state is State.RUNNING) else None

    @property
    def steps(self) -> int | None:
        """How many steps the last attempt has; None unless it is online."""
        return self.attempt.steps if self.attempt is not None else None

    @property
    def step(self) -> int | None:
        """In which step the attempt is, or ended; None unless it is online."""
        if self.steps is None:
            return self.interrupted_in
        return min(self.interrupted_in or 1, self.steps)

    @property
    def facts(self) -> dict[str, object]:
        """What scripts are told of it."""
        attempt, failure = self.attempt, self.failure
        return asdict(self.migration) | {
            "state": self.state,
            "direction": attempt.direction if attempt else None,
            "started_at": attempt.started_at if attempt else None,
            "failed_at": failure.ended_at if attempt and failure else None,
            "error": failure.error if attempt and failure else None,
            "step": self.step,
            "steps": self.steps,
            "rows_done": self.progress.rows if self.progress else None,
            "rows_total": self.progress.total if self.progress else None,
        }


@dataclass(frozen=True)
class Timeline:
    """All migrations of a database."""

    status: Status
    items: tuple[Item, ...]
    """App by app, as Piccolo runs them, in the order of their IDs."""
    runs: tuple[Entry, ...]
    """Everything that was ever done, oldest first."""
    all_problems: tuple[Problem, ...]
    running: bool
    """Whether a run is under way."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All, but the steps that a run is doing: those are none that somebody has to finish."""
        if not self.running:
            return self.all_problems
        return tuple(problem for problem in self.all_problems if problem.kind != "interrupted")

    @property
    def facts(self) -> dict[str, object]:
        """What scripts are told of it, but for the runs."""
        return {
            "version": self.status.version,
            "applied": len(self.status.applied),
            "pending": len(self.status.pending),
            "run_under_way": self.running,
            "migrations": [item.facts for item in self.items],
            "problems": [asdict(problem) for problem in self.problems],
        }

    @property
    def expected(self) -> str | None:
        """The version that this code is written for."""
        return self.status.expected

    @property
    def unknown(self) -> tuple[MigrationState, ...]:
        """The applied migrations that this code does not have."""
        return tuple(one for one in self.status.migrations if not one.has_file)


async def read_timeline(
    connection: "Connection[Record]", files: list[MigrationFile] | None = None
) -> Timeline:
    """Put it together. Changes nothing, and needs no ledger and no history to be there.

    The files are those that there are now, unless they are given.
    """
    files = migration_files() if files is None else files
    runs = await read_runs(connection)
    # After the runs: what was committed meanwhile was not taken out of the ledger by hand.
    ledger = await read_ledger(connection)
    status = status_of(files, ledger)
    problems = await preflight.inspect(connection, files, runs.entries, ledger)
    of_runs = _by_key(runs.entries)
    of_problems = _by_key(problems)
    items = [
        _item(one, runs.under_way, of_runs[one.key], of_problems[one.key])
        for one in status.migrations
    ]
    place = {app: number for number, app in enumerate(status.apps)}
    items.sort(key=lambda item: (place[item.migration.app], item.migration.id))
    return Timeline(status, tuple(items), runs.entries, tuple(problems), runs.under_way)


def _by_key(found: Iterable[_Known]) -> defaultdict[MigrationKey, list[_Known]]:
    """Return what is known of each migration, in the order in which it was found."""
    by_key = defaultdict[MigrationKey, list[_Known]](list)
    for one in found:
        by_key[one.key].append(one)
    return by_key


def _item(
    migration: MigrationState, under_way: bool, runs: list[Entry], problems: list[Problem]
) -> Item:
    last = done = runs[-1] if runs else None
    if last is not None and last.outcome is not Outcome.DONE:
        done = next((run for run in reversed(runs) if run.outcome is Outcome.DONE), None)
    found = {one.kind: one for one in problems}
    interruption = found.get("interrupted")
    return Item(
        migration,
        _state(migration, last, {*found}, under_way),
        done,
        last,
        interruption.step if interruption else None,
        interruption.progress if interruption else None,
    )


def _state(
    migration: MigrationState, last: Entry | None, kinds: set[str], under_way: bool
) -> State:
    outcome = last.outcome if last is not None else None
    if outcome is Outcome.RUNNING:
        return State.RUNNING
    if outcome is Outcome.KILLED:
        return State.KILLED
    if "interrupted" in kinds:
        return State.RUNNING if under_way else State.INTERRUPTED
    if migration.applied_at is not None:
        if not migration.has_file:
            return State.MISSING
        return State.EDITED if "edited" in kinds else State.APPLIED
    # One that could not be undone is applied.
    return State.FAILED if outcome is Outcome.FAILED else State.PENDING
