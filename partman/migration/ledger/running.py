"""Which runs are under way, and which were killed.

Both have a row that says "running". A run holds the migration lock from before its row begins
until after it is completed; so a row is a killed run's if the lock is free, and also if its
holder connected later than the row began.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.migration.ledger import history, lock
from partman.migration.ledger.history import Entry, Outcome
from partman.migration.ledger.lock import RunUnderWay

if TYPE_CHECKING:
    from asyncpg import Connection, Record


@dataclass(frozen=True)
class Runs:
    """Every run of a database."""

    entries: tuple[Entry, ...]
    """Oldest first. A killed one says what the next run will record of it."""
    under_way: bool
    """Whether a run holds the migration lock."""


async def read_runs(connection: "Connection[Record]") -> Runs:
    """Read the history, and tell what is running from what was killed. Changes nothing."""
    while True:
        entries = await history.read(connection)
        run = await lock.run_under_way(connection)
        killed = [entry for entry in entries if _was_killed(entry, run)]
        # A run that ended between the two questions has completed its row by now.
        if not killed or entries == await history.read(connection):
            break
    if not killed:
        return Runs(tuple(entries), run is not None)
    errors = {entry: await history.error_of_killed(connection, entry) for entry in killed}
    return Runs(
        tuple(
            entry._replace(outcome=Outcome.KILLED, error=errors[entry])
            if entry in errors
            else entry
            for entry in entries
        ),
        run is not None,
    )


def _was_killed(entry: Entry, run: RunUnderWay | None) -> bool:
    if entry.outcome is not Outcome.RUNNING:
        return False
    if run is None:
        return True
    return run.connected_at is not None and run.connected_at > entry.started_at
