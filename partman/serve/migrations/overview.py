"""What somebody should know first: the verdict, and what has to be done by hand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from partman.migration.ledger.history import Direction
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import MigrationState
from partman.migration.ledger.timeline import Item, State, Timeline

RUN = "partman migrate"
"""The command that applies what is pending."""

_UNFINISHED = (State.FAILED, State.KILLED, State.INTERRUPTED)


@dataclass(frozen=True)
class Alarm:
    """Something that waits for a person."""

    word: str
    """In which state it is: ``failed``."""
    migration: MigrationState | None
    """None for a problem with a migration that the timeline does not have."""
    name: str
    """The migration's ID."""
    stops: bool
    """Whether it keeps migrations from running."""
    happened: str = ""
    """What was done and when, as the beginning of a sentence: ``Failed``."""
    when: datetime | None = None
    error: str = ""
    database: str = ""
    """The state of the database, as a sentence."""
    todo: str = ""
    """What to do next, as a sentence."""
    command: str = ""
    """What to type next."""


@dataclass(frozen=True)
class Overview:
    """The top of the page."""

    word: str
    """The verdict: ``up to date``."""
    alarms: tuple[Alarm, ...]
    notes: tuple[tuple[str, tuple[Alarm, ...]], ...]
    """What stops nothing, by what it is: there may be one of each migration."""
    running: tuple[Item, ...]
    pending: tuple[Item, ...]
    """Without those that an alarm is about."""

    @property
    def counts(self) -> dict[str, int]:
        """How many migrations failed, are under way and are pending."""
        words = [alarm.word for alarm in self.alarms if alarm.word in _UNFINISHED]
        found = {word: words.count(word) for word in words}
        return found | {"running": len(self.running), "pending": len(self.pending)}


def overview(timeline: Timeline) -> Overview:
    """Return what a timeline says first."""
    unfinished = [item for item in timeline.items if item.state in _UNFINISHED]
    problems = list(_problems(timeline))
    alarms = (
        *(_unfinished(item, timeline) for item in unfinished),
        *(each for each in problems if each.stops),
        *(
            _not_reverted(item)
            for item in timeline.items
            if item.state in (State.APPLIED, State.EDITED)
            and item.failure is not None
            and item.failure.direction is Direction.BACKWARDS
        ),
    )
    running = tuple(item for item in timeline.items if item.state is State.RUNNING)
    pending = tuple(item for item in timeline.items if item.state is State.PENDING)
    return Overview(_word(timeline, alarms), alarms, _by_word(problems), running, pending)


def _by_word(problems: Iterable[Alarm]) -> tuple[tuple[str, tuple[Alarm, ...]], ...]:
    notes = [each for each in problems if not each.stops]
    words = dict.fromkeys(each.word for each in notes)
    return tuple((word, tuple(each for each in notes if each.word == word)) for word in words)


def _word(timeline: Timeline, alarms: tuple[Alarm, ...]) -> str:
    if timeline.running:
        return "running"
    for word in (State.KILLED, State.FAILED, State.INTERRUPTED):
        if any(alarm.word == word and alarm.stops for alarm in alarms):
            return word.value
    if any(alarm.stops for alarm in alarms):
        return "needs attention"
    return "pending" if timeline.status.pending else "up to date"


def _unfinished(item: Item, timeline: Timeline) -> Alarm:
    """Return what became of a migration that is neither applied nor untouched."""
    failure, state = item.failure, item.state
    way = "" if failure is None or failure.direction is Direction.FORWARDS else " while reverting"
    interruption = next(
        (
            problem.message
            for problem in timeline.problems
            if problem.kind == "interrupted" and problem.key == item.migration.key
        ),
        "",
    )
    version = timeline.status.version
    at = f"The schema version is {version}." if version else "No migration is applied."
    database, todo, command = {
        State.FAILED: (
            f"The migration was rolled back. {at}",
            "Correct the migration or the rows, then run:",
            RUN,
        ),
        State.KILLED: (
            "The server has rolled back the transaction that was open. "
            "Steps that were done before are kept.",
            "Run the migrations again, which continues where this run ended:",
            RUN,
        ),
        State.INTERRUPTED: ("", interruption, ""),
    }[state]
    return Alarm(
        word=state.value,
        migration=item.migration,
        name=item.migration.id,
        stops=True,
        happened=f"{failure.outcome.value.capitalize()}{way}" if failure else "",
        when=(failure.ended_at or failure.started_at) if failure else None,
        error=(failure.error or "") if failure else "",
        database=database,
        todo=todo,
        command=command,
    )


def _problems(timeline: Timeline) -> Iterator[Alarm]:
    """Yield what is wrong between files, ledger and history."""
    known = {item.migration.key: item.migration for item in timeline.items}
    for problem in timeline.problems:
        if problem.kind != "interrupted":
            yield _problem(problem, known.get(problem.key))


def _problem(problem: Problem, migration: MigrationState | None) -> Alarm:
    word = "no file" if problem.kind == "missing" else problem.kind
    return Alarm(word, migration, problem.migration, problem.stops, todo=problem.message)


def _not_reverted(item: Item) -> Alarm:
    """Return the failure of the last attempt to revert a migration that is still applied."""
    failure = item.failure
    assert failure is not None
    return Alarm(
        word="not reverted",
        migration=item.migration,
        name=item.migration.id,
        stops=False,
        happened=f"{failure.outcome.value.capitalize()} while reverting",
        when=failure.ended_at or failure.started_at,
        error=failure.error or "",
        database="The attempt was rolled back. The migration is still applied.",
        todo="To try again, correct what reverts it, and revert it.",
    )
