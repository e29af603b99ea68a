"""Whether what a run says, what it records and what it leaves in the database is one truth."""

import signal
from dataclasses import dataclass

from partman.database.explain import ROLLED_BACK
from partman.errors import ExitCode
from tests.runs.drawn import Event, Mode, Trial
from tests.runs.found import Found
from tests.runs.model import Course, End
from tests.support import Completed

COMMITTED = "It was committed and recorded."


@dataclass(frozen=True, repr=False)
class Telling:
    """A run that has ended, beside what its migrations make of a database without partman."""

    trial: Trial
    courses: list[Course]
    ended: Completed
    found: Found

    def __repr__(self) -> str:
        migrations = "".join(
            f"\n  {each.mode.name}: {[part.sql or 'raise' for part in each.parts]}"
            for each in self.trial.migrations
        )
        found = self.found
        differs = [
            sorted(boundary.catalog ^ found.contents.catalog)[:4]
            for boundary in self.courses[min(self.applied, len(self.courses) - 1)].boundaries
        ]
        return (
            f"\n{self.trial.command} at answer {self.trial.answer}, production:"
            f" {self.trial.is_production}{migrations}\nends: {[each.end for each in self.courses]}"
            f"\nexit code {self.ended.code}: {self.ended.output}\nledger {found.ledger},"
            f" steps {found.finished}+{found.running}, history {found.history}\n{found.contents}"
            f"\nboundaries: {self.courses[-1].boundaries}\ncatalog differs in {differs}"
        )

    @property
    def applied(self) -> int:
        """How many migrations are applied, according to the ledger."""
        return len(self.found.ledger)

    @property
    def possible(self) -> int:
        """How many migrations can be applied."""
        return sum(course.end is End.DONE for course in self.courses)

    @property
    def may_be_within_one_alone(self) -> bool:
        """Whether a migration without a transaction may have left statements that no record has."""
        if self.applied == len(self.courses):
            return False
        return self.trial.migrations[self.applied].mode is Mode.ALONE

    def check_end(self, event: Event) -> None:
        """Check the exit code, and that the message says what became of the migration."""
        told = self.ended.stderr
        assert "Traceback" not in self.ended.output, self
        last = self.courses[-1].end
        if event is Event.KILL:
            assert self.ended.code == -signal.SIGKILL, self
            return
        codes = {last.value}
        if event is not Event.NOTHING:
            codes.add(ExitCode.UNAVAILABLE)
        assert self.ended.code in codes, self
        if self.ended.code == 0:
            assert self.applied == len(self.courses), self
            return
        if self.ended.code == ExitCode.UNAVAILABLE:
            self._check_lost(told)
        else:
            assert self.applied == self.possible, self
            self._check_failed(told)

    def _check_failed(self, told: str) -> None:
        migration, course = self.trial.migrations[self.applied], self.courses[self.applied]
        done = len(course.boundaries) - 1
        if migration.mode is Mode.ONLINE and done:
            self._says(f"Step {done + 1} ")
            self._says(f"the next run continues with step {done + 1}.")
        elif migration.mode is Mode.ALONE and done:
            stay = "s before it are" if done > 1 else " before it is"
            self._says(f"{done} statement{stay} committed and stay")
        else:
            assert "rolled back" in told or "undone" in told, self
            assert "before it are committed" not in told, self

    def _check_lost(self, told: str) -> None:  # noqa: C901 -- one case after the other
        within = self.found.contents
        boundaries = self.courses[min(self.applied, len(self.courses) - 1)].boundaries
        assert told.count("connection was lost") <= 1, self
        if COMMITTED in told:
            assert "rolled back" not in told, self
            assert f"while {self.applied} was being committed" in told, self
            return
        if "was being committed" in told:
            assert f"while {self.applied + 1} was being committed" in told, self
        if "Nothing was run" in told or "cannot be reached" in told:
            assert within == self.courses[0].boundaries[0], self
            assert not self.found.history, self
        elif "No step was run" in told or ROLLED_BACK in told or "It was rolled back." in told:
            assert within == boundaries[0], self
        elif "All its ste" in told or "All its statements" in told:
            assert within == boundaries[-1], self
        elif "committed and stay" in told:
            number = int(told.partition(" statement")[0].rpartition(" ")[2])
            assert "may be committed or not" not in told, self
            assert within == boundaries[number + ("is committed, too" in told)], self
        elif "was rolled back" in told:
            self._says(f"Step {self.found.finished + 1} was rolled back")
        elif "was committed" in told:
            self._says(f"Step {self.found.finished} was committed")
        else:
            self._says("What became of step")

    def _says(self, words: str) -> None:
        assert words in self.ended.stderr, (words, self)

    def check_state(self) -> None:
        """Check that ledger and steps say which migrations the database has."""
        found = self.found
        numbers = tuple(str(number) for number in range(1, self.applied + 1))
        assert found.ledger == numbers, self
        assert self.applied <= self.possible, self
        if self.applied == len(self.courses):
            assert found.contents == self.courses[-1].boundaries[-1], self
            assert (found.finished, found.running) == (0, 0), self
            return
        boundaries = self.courses[self.applied].boundaries
        if self.trial.migrations[self.applied].mode is Mode.ALONE:
            assert found.contents in boundaries, self
        elif found.running == 0:
            assert found.finished < len(boundaries), self
            assert found.contents == boundaries[found.finished], self
        else:
            around = boundaries[found.finished : found.finished + 2]
            assert found.contents.rows in [each.rows for each in around], self

    def check_history(self, *, is_last: bool = False) -> None:
        """Check that there is a row of each migration that has begun, which agrees."""
        history = self.found.history
        done = [migration for migration, outcome in history if outcome == "done"]
        assert tuple(done) == self.found.ledger, self
        running = [each for each in history if each[1] == "running"]
        assert len(running) <= (0 if is_last else 1), self
        if running:
            assert running[0] == history[-1], self
            assert running[0][0] == str(self.applied + 1), self
        elif self.ended.code not in (0, ExitCode.UNAVAILABLE, -signal.SIGKILL):
            assert history[-1] == (str(self.applied + 1), "failed"), self
