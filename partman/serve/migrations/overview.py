"""What somebody should know first: the verdict, and what has to be done by hand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from partman.migration.ledger.history import Direction
from partman.migration.ledger.preflight import FINISH, Problem
from partman.migration.ledger.status import MigrationState
from partman.migration.ledger.timeline import Item, State, Timeline

RUN = "partman migrate"
"""The command that applies what is pending."""

_FEW = 3
"""Up to so many of the same problem are told one by one."""

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
    """The state of the database, in sentences; of a problem, all that is to be said."""
    todo: str = ""
    """What to do next, as a sentence."""
    command: str = ""
    """What to type next."""


@dataclass(frozen=True)
class Notes:
    """The same problem of one or many migrations."""

    word: str
    alarms: tuple[Alarm, ...]

    @property
    def stops(self) -> bool:
        """Whether it keeps migrations from running."""
        return any(alarm.stops for alarm in self.alarms)


@dataclass(frozen=True)
class Overview:
    """The top of the page."""

    word: str
    """The verdict: ``up to date``."""
    alarms: tuple[Alarm, ...]
    notes: tuple["Notes", ...]
    """What stops nothing, or is the same for many migrations."""
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
    notes = _by_word(_problems(timeline))
    few = [each for each in notes if each.stops and len(each.alarms) <= _FEW]
    alarms = (
        *(_unfinished(item, timeline) for item in unfinished),
        *(alarm for each in few for alarm in each.alarms),
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
    word = _word(timeline, alarms, stops=any(each.stops for each in notes))
    others = tuple(each for each in notes if each not in few)
    return Overview(word, alarms, others, running, pending)


def _by_word(problems: Iterable[Alarm]) -> list[Notes]:
    """Return the problems by what they are; those that stop a run come first."""
    found = list(problems)
    words = dict.fromkeys(each.word for each in found)
    notes = [Notes(word, tuple(each for each in found if each.word == word)) for word in words]
    return sorted(notes, key=lambda each: not each.stops)


def _word(timeline: Timeline, alarms: tuple[Alarm, ...], *, stops: bool) -> str:
    if timeline.running:
        return "running"
    for word in (State.KILLED, State.FAILED, State.INTERRUPTED):
        if any(alarm.word == word and alarm.stops for alarm in alarms):
            return word.value
    if stops:
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
    what, _, finish = interruption.partition(f" {FINISH}")
    version = timeline.status.version
    at = f"The schema version is {version}." if version else "No migration is applied."
    database, todo, command = {
        State.FAILED: (
            f"The migration was rolled back. {at}",
            "Correct the migration or the rows, then run:",
            RUN,
        ),
        State.KILLED: (
            "",
            "Run the migrations again, which continue where this run ended:",
            RUN,
        ),
        State.INTERRUPTED: (what, FINISH, finish),
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
    return Alarm(word, migration, problem.migration, problem.stops, database=problem.message)


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
