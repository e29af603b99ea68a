"""Each migration with all that is known of it: file, ledger, runs, and what is wrong with it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from partman.migration.ledger import history, preflight
from partman.migration.ledger.history import Entry, Outcome
from partman.migration.ledger.lock import HELD_BY_ANYBODY
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import MigrationState, Status, read_status

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class State(StrEnum):
    """Where a migration stands, in a word; of several that hold, the first."""

    RUNNING = "running"
    """Online, and some of its steps are done, or undone, by a run that is under way."""
    INTERRUPTED = "interrupted"
    """The same, and nothing is under way any more."""
    MISSING = "no file"
    """Applied, but this code does not have it."""
    EDITED = "edited"
    """Applied, and its file was changed since."""
    APPLIED = "applied"
    FAILED = "failed"
    """Pending, and the last attempt to run it failed."""
    PENDING = "pending"


@dataclass(frozen=True)
class Item:
    """One migration."""

    migration: MigrationState
    state: State
    run: Entry | None
    """The run that brought it to where it is, in either direction; None where none is recorded."""
    failure: Entry | None
    """The last run, if that failed."""


@dataclass(frozen=True)
class Timeline:
    """All migrations of a database."""

    status: Status
    items: tuple[Item, ...]
    """App by app, as Piccolo runs them, in the order of their IDs."""
    runs: tuple[Entry, ...]
    """Everything that was ever done, oldest first."""
    problems: tuple[Problem, ...]
    running: bool
    """Whether a run is under way."""

    @property
    def expected(self) -> str | None:
        """The version that this code is written for."""
        return self.status.expected

    @property
    def unknown(self) -> tuple[MigrationState, ...]:
        """The applied migrations that this code does not have."""
        return tuple(one for one in self.status.migrations if not one.has_file)


async def read_timeline(connection: "Connection[Record]") -> Timeline:
    """Put it together. Changes nothing, and needs no ledger and no history to be there."""
    running = bool(await connection.fetchval(f"SELECT {HELD_BY_ANYBODY}"))
    status = await read_status(connection)
    runs = await history.read(connection)
    problems = await preflight.inspect(connection)
    items = [_item(one, runs, problems, running=running) for one in status.migrations]
    items.sort(key=lambda item: (status.apps.index(item.migration.app), item.migration.id))
    return Timeline(
        status,
        tuple(items),
        tuple(runs),
        # Steps that are being done are none that somebody would have to finish.
        tuple(one for one in problems if not (running and one.kind == "interrupted")),
        running,
    )


def _item(
    migration: MigrationState, runs: list[Entry], problems: list[Problem], *, running: bool
) -> Item:
    own = [run for run in runs if run.key == migration.key]
    done = [run for run in own if run.outcome is Outcome.DONE]
    failure = own[-1] if own and own[-1].outcome is Outcome.FAILED else None
    kinds = {one.kind for one in problems if one.key == migration.key}
    if "interrupted" in kinds:
        state = State.RUNNING if running else State.INTERRUPTED
    else:
        state = _state(migration, failure, kinds)
    return Item(migration, state, done[-1] if done else None, failure)


def _state(migration: MigrationState, failure: Entry | None, kinds: set[str]) -> State:
    if migration.applied_at is not None:
        if not migration.has_file:
            return State.MISSING
        return State.EDITED if "edited" in kinds else State.APPLIED
    # One that could not be undone is applied.
    return State.FAILED if failure is not None else State.PENDING
