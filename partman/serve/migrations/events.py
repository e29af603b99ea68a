"""Everything that was ever run, by day, newest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

from partman.migration.ledger.history import Direction, Entry, Outcome
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import MigrationState
from partman.migration.ledger.timeline import Timeline

OPEN = 20
"""How many events are shown before the others are folded."""
MOST = 500
"""How many events a page has; the JSON has all of them."""


@dataclass(frozen=True)
class Event:
    """A run, or a migration that was applied without one that is recorded."""

    migration: MigrationState
    word: str
    """What happened: ``applied``, ``reverted``."""
    at: datetime
    """Without a time zone if the history has no run of it: the local time of some machine."""
    run: Entry | None

    @property
    def day(self) -> date:
        """The day, in UTC if that is known."""
        return _in_utc(self.at).date()

    @property
    def text(self) -> str:
        """What a search looks through, in lower case."""
        parts: list[object] = [self.migration.id, self.migration.app, self.migration.description]
        if run := self.run:
            parts += [run.os_user, run.host, run.role, run.revision, run.error, run.changes]
        return " ".join(str(part) for part in parts if part).casefold()


WORDS = {
    "applied": "Applied",
    "reverted": "Reverted",
    "failed": "Failed or killed",
}
"""What the filter offers, and its text for people."""


def events(timeline: Timeline) -> list[Event]:
    """Return all events, newest first."""
    known = {item.migration.key: item.migration for item in timeline.items}
    recorded = {run.key for run in timeline.runs}
    found = [_of_run(run, known) for run in timeline.runs]
    found += [
        Event(migration, "applied", migration.applied_at, None)
        for migration in known.values()
        if migration.applied_at is not None and migration.key not in recorded
    ]
    found.sort(key=lambda event: _in_utc(event.at))
    return found[::-1]


def matching(found: Iterable[Event], text: str, word: str) -> list[Event]:
    """Return the events that have every word of a text, and this outcome; "" is any."""
    wanted = text.casefold().split()
    return [
        event
        for event in found
        if all(each in event.text for each in wanted) and (word not in WORDS or _is(event, word))
    ]


def by_day(found: Sequence[Event]) -> list[tuple[date, list[Event]]]:
    """Return the events of each day."""
    return [(day, list(of_day)) for day, of_day in groupby(found, key=lambda event: event.day)]


def _is(event: Event, word: str) -> bool:
    if word == "failed":
        return event.run is not None and event.run.outcome in (Outcome.FAILED, Outcome.KILLED)
    return event.word == word


def _of_run(run: Entry, known: dict[MigrationKey, MigrationState]) -> Event:
    # Without a file and reverted: nothing else knows it any more.
    lost = MigrationState(run.app, run.migration, "", None, has_file=False)
    return Event(known.get(run.key, lost), _word(run), run.started_at, run)


def _word(run: Entry) -> str:
    if run.outcome is not Outcome.DONE:
        return run.outcome.value
    return {
        Direction.FORWARDS: "applied",
        Direction.BACKWARDS: "reverted",
        Direction.ADOPTED: "adopted",
        Direction.FAKED: "recorded",
    }[run.direction]


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
