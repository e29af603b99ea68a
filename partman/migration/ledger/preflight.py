"""What must be in order before a migration runs."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.errors import PreflightError
from partman.migration.ledger import history, step_records
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.history import Direction, Entry, Outcome
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import LedgerRow, read_ledger
from partman.migration.ledger.step_records import Progress
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record


logger = logging.getLogger("partman.run")


FINISH = "Finish it: "
"""Before the command with which the message about an interrupted migration ends."""

KINDS = ("edited", "missing", "late", "duplicate", "unrecorded", "removed", "interrupted")


@dataclass(frozen=True)
class Problem:
    """Something about a migration that is not as it should be."""

    app: str
    migration: str
    kind: str
    """One of KINDS."""
    message: str
    stops: bool = True
    """Whether it keeps migrations from running where the environment is strict."""
    only_backwards: bool | None = None
    """Of an interrupted online migration, in which direction it went: no run may go the other
    way, wherever."""
    step: int | None = None
    """Of an interrupted online migration, the step that was running, or comes next."""
    progress: Progress | None = None
    """How far this step is, if it is a backfill."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.migration)


async def inspect(
    connection: "Connection[Record]",
    files: list[MigrationFile] | None = None,
    entries: Sequence[Entry] | None = None,
    ledger: Sequence[LedgerRow] | None = None,
    *,
    are_imported: bool = False,
) -> list[Problem]:
    """Compare files, ledger and history. Changes nothing.

    All three are read, unless they are given. Raises PreflightError for a file that Python
    cannot compile; with ``are_imported``, Python has done so.
    """
    files = migration_files() if files is None else files
    entries = await history.read(connection) if entries is None else entries
    if not are_imported:
        _refuse_unreadable(files, entries)
    ledger = await read_ledger(connection) if ledger is None else ledger
    found = find_problems(files, ledger, entries)
    steps = {entry.directed: entry.steps for entry in entries if entry.steps is not None}
    return [
        *found,
        *(
            _interrupted(each, steps.get(each.migration))
            for each in await step_records.interruptions(connection)
        ),
    ]


def _refuse_unreadable(files: list[MigrationFile], entries: Sequence[Entry]) -> None:
    """Raise PreflightError for a file that Python cannot compile; what was run can be."""
    run = {entry.digest for entry in entries}
    for file in files:
        if file.digest not in run:
            file.compile()


def find_problems(
    files: list[MigrationFile], ledger: Sequence[LedgerRow], entries: Sequence[Entry]
) -> list[Problem]:
    """Return what is wrong, in the order of the files."""
    applied = {row.key for row in ledger}
    recorded = _last_recorded(entries)
    by_key = {file.key: file for file in files}
    newest: dict[str, str] = {}
    for row in ledger:
        newest[row.app] = max(row.id, newest.get(row.app, ""))
    return [
        *_duplicates(files),
        *(
            problem
            for key, file in by_key.items()
            for problem in (
                [*_edited(file, recorded.get(key)), *_unrecorded(file, recorded.get(key))]
                if key in applied
                else _late(file, newest.get(file.app, ""))
            )
        ),
        *(_missing(row) for row in ledger if row.key not in by_key),
        *(
            _removed_by_hand(entry)
            for key, entry in recorded.items()
            if entry.direction is not Direction.BACKWARDS and key not in applied
        ),
    ]


def report(problems: list[Problem], settings: Settings, *, backwards: bool = False) -> None:
    """Warn of the problems; where the environment is strict, raise PreflightError instead.

    ``backwards`` is the direction of the run that is about to begin.
    """
    for problem in problems:
        if _goes_the_other_way(problem, backwards=backwards):
            raise PreflightError(f"{problem.message} Nothing was run.")
    stopping = [
        problem.message for problem in problems if stops(problem, settings, backwards=backwards)
    ]
    if stopping:
        raise PreflightError(
            f"{' '.join(stopping)} Nothing was run. If you are sure, set PARTMAN_PREFLIGHT=warn."
        )
    for problem in problems:
        logger.warning(problem.message)


def stops(problem: Problem, settings: Settings, *, backwards: bool = False) -> bool:
    """Whether a run in this direction refuses to begin because of a problem."""
    if _goes_the_other_way(problem, backwards=backwards):
        return True
    return problem.stops and settings.policy.strict_preflight


def _goes_the_other_way(problem: Problem, *, backwards: bool) -> bool:
    return problem.only_backwards not in (None, backwards)


def _last_recorded(entries: Sequence[Entry]) -> dict[MigrationKey, Entry]:
    done = (entry for entry in entries if entry.outcome is Outcome.DONE)
    return {entry.key: entry for entry in done}


def _duplicates(files: list[MigrationFile]) -> list[Problem]:
    # Piccolo's `backwards` deletes a ledger row by its ID alone, whatever the app.
    counts = Counter(file.id for file in files)
    return [
        Problem(
            file.app,
            file.id,
            "duplicate",
            f"{file.path.name} of {file.app} has the ID of another migration, {file.id}: "
            "undoing one would take both from the ledger. Change the ID of the newer one.",
        )
        for file in files
        if counts[file.id] > 1
    ]


def _edited(file: MigrationFile, entry: Entry | None) -> list[Problem]:
    if entry is None or entry.digest == file.digest:
        return []
    if entry.checksum == file.checksum:
        return []
    since = f" (applied from revision {entry.revision})" if entry.revision else ""
    return [
        Problem(
            file.app,
            file.id,
            "edited",
            f"{file.path.name} was changed after it was applied{since}. "
            "Restore it, and put the change into a new migration.",
        )
    ]


def _unrecorded(file: MigrationFile, entry: Entry | None) -> list[Problem]:
    if entry is not None and entry.direction is not Direction.BACKWARDS:
        return []
    return [
        Problem(
            file.app,
            file.id,
            "unrecorded",
            f"{file.id} is in the ledger, but no recorded run put it there: it was applied "
            "before there was a history, or entered by hand. Compare and record it: partman adopt",
            stops=False,
        )
    ]


def _interrupted(interruption: step_records.Interruption, steps: int | None) -> Problem:
    migration = interruption.migration
    direction = "backwards" if migration.backwards else "forwards"
    return Problem(
        migration.app,
        migration.id,
        "interrupted",
        f"{migration.id} is online, and was interrupted going {direction}, "
        f"{_place(interruption, steps)}. "
        f"{FINISH}piccolo migrations {direction} {migration.app} {migration.id}",
        stops=False,
        only_backwards=migration.backwards,
        step=interruption.step,
        progress=interruption.progress,
    )


def _place(interruption: step_records.Interruption, steps: int | None) -> str:
    of = "" if steps is None else f" of {steps}"  # a run before 0.9 did not record it
    if interruption.running is not None:
        return f"in step {interruption.running}{of}"
    if steps is None:
        return f"after {counted(interruption.finished, 'step')}"
    return f"after step {interruption.finished}{of}"


def _removed_by_hand(entry: Entry) -> Problem:
    return Problem(
        entry.app,
        entry.migration,
        "removed",
        f"{entry.migration} was applied, and no recorded run undid it, but it is not in the "
        "ledger: somebody took it out by hand.",
        stops=False,
    )


def _late(file: MigrationFile, newest: str) -> list[Problem]:
    if file.id > newest:
        return []
    return [
        Problem(
            file.app,
            file.id,
            "late",
            f"{file.path.name} is pending, but older than {newest}, which is applied: it was "
            "written for another order. Give it a new ID and test it against the present schema.",
        )
    ]


def _missing(row: LedgerRow) -> Problem:
    return Problem(
        row.app,
        row.id,
        "missing",
        f"{row.id} of {row.app} is applied, but there is no such file: this code is older than "
        "the database, or the file was deleted. Deploy the code that has it.",
    )
