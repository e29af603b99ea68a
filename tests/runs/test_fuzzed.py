"""Random migrations, disturbed anywhere: what is there, what is recorded, and what is said.

tests/runs/drawn.py draws projects and tests/runs/model.py finds out what their migrations make of a
database, without partman. `make test` tries some of them, `make test-faults` thousands.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import hypothesis
import pytest

from tests.faults.processes import Process, Zygote
from tests.project import Project
from tests.runs.drawn import SCHEMA, Event, Trial, trials
from tests.runs.found import find
from tests.runs.model import Course, course_of
from tests.runs.telling import Telling
from tests.runs.terminating import TerminatingProxy
from tests.summary import Record, count, thorough
from tests.support import Completed, Database, execute, temporary_database

EXAMPLES = 130 if thorough() else 3
"""With four parts of four events, 2,080 in all."""
PARTS = 4 if thorough() else 1
"""What pytest-xdist can give to different workers, of each event."""

# Where the runs are cut differs, not what they ask of the server: other tests ask that of each.
pytestmark = [] if thorough() else [pytest.mark.same_on_every_version]


@pytest.fixture(scope="module")
def start() -> Iterator[Database]:
    """A database with what is there before the migrations."""
    with temporary_database() as database:
        execute(database.url, *SCHEMA)
        yield database


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("event", Event)
def test_a_run_tells_the_truth(
    zygote: Zygote, start: Database, event: Event, part: int, record_property: Record
) -> None:
    tried: Counter[str] = Counter()

    @hypothesis.seed(part)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink][: 2 if thorough() else 1],
    )
    @hypothesis.given(trials())
    def check(trial: Trial) -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            with temporary_database(start.name) as apart, temporary_database(start.name) as own:
                courses = course_of(apart.url, trial.migrations, is_production=trial.is_production)
                project = Project.create(folder, own, zygote)
                happened = _try(project, trial, event, courses)
        finally:
            shutil.rmtree(folder)
        tried["trials"] += 1
        tried[event.value] += happened

    check()
    disturbed = 0 if event is Event.NOTHING else tried[event.value]
    kills = disturbed if event is Event.KILL else 0
    count(
        record_property,
        fuzzed_runs=tried["trials"],
        kills=kills,
        dropped_connections=disturbed - kills,
    )


def _try(project: Project, trial: Trial, event: Event, courses: list[Course]) -> bool:
    """Run a project, see that all is true, and run it again; return whether the event happened."""
    for number, migration in enumerate(trial.migrations, 1):
        project.write(str(number), migration.statements, more=migration.code)
    environment = project.environment
    if not trial.is_production:
        environment["PARTMAN_ENV"] = "development"
    ended, happened = _run(project, trial, event, environment)
    found = find(project.database.url)
    telling = Telling(trial, courses, ended, found)
    telling.check_end(event if happened else Event.NOTHING)
    telling.check_state()
    telling.check_history()

    if event is Event.NOTHING and ended.code == 0:
        return happened
    again = project.zygote.run(*trial.command, environment=environment)
    after = find(project.database.url)
    second = Telling(trial, courses, again, after)
    second.check_history(is_last=True)
    if not telling.may_be_within_one_alone:
        second.check_end(Event.NOTHING)
        second.check_state()
    return happened


def _run(
    project: Project, trial: Trial, event: Event, environment: dict[str, str]
) -> tuple[Completed, bool]:
    if event is Event.NOTHING:
        return project.zygote.run(*trial.command, environment=environment), False
    started: Future[Process] = Future()
    proxy = TerminatingProxy(
        project.database,
        at_answer=trial.answer,
        terminates=event is Event.TERMINATE,
        cut=(lambda: started.result().kill()) if event is Event.KILL else lambda: None,
    )
    with proxy:
        url = {"DATABASE_URL": proxy.url}
        started.set_result(project.zygote.start(*trial.command, environment=environment | url))
        return started.result().wait(), proxy.has_cut.is_set()
