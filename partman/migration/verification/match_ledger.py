"""Compare a database with exactly the migrations in its ledger.

Piccolo's own engine writes a ledger but no history.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.python_defaults import mark_as_in
from partman.errors import BuildFailedError, NotAdoptableError
from partman.migration.ledger import preflight
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import LedgerRow
from partman.migration.verification.built import known_boundaries
from partman.migration.verification.drift import refuse_other_files
from partman.migration.verification.match import (
    NOTHING_RECORDED,
    Match,
    hindrances,
    rows_only,
)
from partman.migration.verification.rebuild import Boundary
from partman.migration.verification.same_expressions import written_alike
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Report = Callable[[MigrationFile], None]
Look = Callable[[Boundary, Settings], Awaitable[None]]


@dataclass(frozen=True)
class _Files:
    """The migration files, divided by ledger and history."""

    applied: list[MigrationFile]
    """In Piccolo's order."""
    pending: list[MigrationFile]
    unrecorded: list[MigrationFile]
    """Applied migrations without a history, in the order of the ledger."""
    notes: tuple[Problem, ...]


async def match_ledger(
    connection: "Connection[Record]",
    ledger: Sequence[LedgerRow],
    live: Catalog,
    scratch: Settings,
    *,
    allow_extra: bool,
    through: str | None,
    on_migration: Report,
    look: Look,
    form_of: Callable[[Catalog], Catalog],
) -> Match:
    """Return how the database compares with the result of the ledger's migrations.

    ``through`` names a pending migration: it and those before it were run by hand, and count as
    applied. ``form_of`` gives a declared catalog the form of the live one. Raises PreflightError
    if a file of the ledger is missing or edited, and NotAdoptableError if the history is complete.
    """
    files = await _read_files(connection, ledger)
    more = _up_to(through, files.pending)
    if not files.unrecorded and not more:
        raise _all_recorded(ledger, files)
    known = await known_boundaries(scratch, on_migration, [*files.applied, *more], look, form_of)
    expected = known[-1].catalog
    live = found = await written_alike(scratch, expected, mark_as_in(live, expected))
    differences = compare(expected, found)
    is_proven = not hindrances(differences, allow_extra=allow_extra)
    ahead: tuple[MigrationFile, ...] = ()
    by_hand: tuple[MigrationFile, ...] = ()
    if not is_proven and not more:
        ahead = _missing_at_the_end(live, known)
        by_hand = () if ahead else await _run_by_hand(live, files, scratch, on_migration, form_of)
    last = known[-1].migration
    assert last is not None
    migrations = (*files.unrecorded, *more)
    return Match(
        boundary=last,
        expected=expected,
        found=found,
        differences=() if is_proven else tuple(differences),
        extra=tuple(differences) if is_proven else (),
        migrations=migrations,
        unproven=tuple(file for file in rows_only(known) if file in migrations),
        pending=(),
        grants=known[-1].grants,
        applied=tuple(files.applied),
        ahead=ahead,
        by_hand=by_hand,
        notes=files.notes,
    )


async def _read_files(connection: "Connection[Record]", ledger: Sequence[LedgerRow]) -> _Files:
    files = {file.key: file for file in migration_files()}
    problems = await preflight.inspect(connection)
    refuse_other_files(problems, NOTHING_RECORDED)
    unrecorded = {each.key for each in problems if each.kind == "unrecorded"}
    # Two concurrent runs of Piccolo's own engine may have recorded the same migration twice.
    applied = dict.fromkeys(row.key for row in ledger)
    return _Files(
        [file for key, file in files.items() if key in applied],
        [file for key, file in files.items() if key not in applied],
        [files[key] for key in applied if key in unrecorded],
        tuple(each for each in problems if each.kind != "unrecorded"),
    )


def _up_to(migration: str | None, pending: Sequence[MigrationFile]) -> list[MigrationFile]:
    """Return the pending migrations up to the given one, or none if it is None."""
    if migration is None:
        return []
    for number, file in enumerate(pending, 1):
        if file.id == migration:
            return list(pending[:number])
    ids = ", ".join(file.id for file in pending) or "none"
    raise NotAdoptableError(
        f"{migration} is not pending. {NOTHING_RECORDED} The pending migrations are: {ids}"
    )


def _all_recorded(ledger: Sequence[LedgerRow], files: _Files) -> NotAdoptableError:
    by_hand = ", or record what was run by hand: partman adopt --through ID"
    return NotAdoptableError(
        f"The ledger has {counted(len(ledger), 'migration')}, the last is {ledger[-1].id}, and the "
        "history has all of them. Nothing was recorded. Compare the database with them: partman "
        f"drift{by_hand if files.pending else ''}"
    )


def _equals(live: Catalog, boundary: Boundary) -> bool:
    return not compare(boundary.catalog, mark_as_in(live, boundary.catalog))


def _missing_at_the_end(live: Catalog, known: Sequence[Boundary]) -> tuple[MigrationFile, ...]:
    """Return the migrations after the newest boundary that the database equals."""
    for number in reversed(range(len(known))):
        if _equals(live, known[number]):
            return tuple(each.migration for each in known[number + 1 :] if each.migration)
    return ()


async def _run_by_hand(
    live: Catalog,
    files: _Files,
    scratch: Settings,
    on_migration: Report,
    form_of: Callable[[Catalog], Catalog],
) -> tuple[MigrationFile, ...]:
    """Return the pending migrations up to the first whose result the database equals."""
    if not files.pending:
        return ()
    # If one of them fails, the differences from the ledger's migrations are still the answer.
    with contextlib.suppress(BuildFailedError):
        known = await known_boundaries(
            scratch, on_migration, [*files.applied, *files.pending], form_of=form_of
        )
        for number, boundary in enumerate(known[len(files.applied) + 1 :], 1):
            if _equals(live, boundary):
                return tuple(files.pending[:number])
    return ()
