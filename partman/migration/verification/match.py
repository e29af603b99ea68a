"""Find the migration whose result a database without a ledger equals."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.model import Catalog
from partman.catalog.python_defaults import mark_as_in
from partman.errors import NotAdoptableError
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.preflight import Problem
from partman.migration.verification.rebuild import Boundary

NOTHING_RECORDED = "The database is as it was; nothing was recorded."


@dataclass(frozen=True)
class Match:
    """How a database compares with what the migrations build."""

    boundary: MigrationFile
    """The migration whose result it equals or, where it equals none, comes nearest to. With a
    ledger: the last one of the ledger."""
    expected: Catalog
    """What the migrations up to the boundary build."""
    found: Catalog
    """What the database has."""
    differences: tuple[Difference, ...]
    """Why it is not equal. Nothing is recorded while there is one."""
    extra: tuple[Difference, ...]
    """What only the live database has, where that was allowed."""
    migrations: tuple[MigrationFile, ...]
    """Those that are to be recorded."""
    unproven: tuple[MigrationFile, ...]
    """Those of them that change rows only: that they were run shows in no catalog."""
    pending: tuple[MigrationFile, ...]
    """Without a ledger: those after it that change rows only. The catalog equals their result, too.
    They are not recorded, so the next run runs them."""
    grants: tuple[str, ...]
    """Statements: the rights on the bookkeeping that the migrations up to the boundary grant."""
    applied: tuple[MigrationFile, ...] = ()
    """Those that the ledger has already."""
    ahead: tuple[MigrationFile, ...] = ()
    """Those that the ledger has and the database lacks: it equals the result of the others."""
    by_hand: tuple[MigrationFile, ...] = ()
    """Those that the database has and the ledger lacks: it equals their result."""
    notes: tuple[Problem, ...] = ()
    """What else is wrong with files and ledger, and stays so."""


@dataclass(frozen=True)
class _Trial:
    """A boundary, compared with the live database."""

    number: int
    """Its place among the boundaries; 0 is the one before the first migration."""
    differences: list[Difference]


def match_boundary(
    live: Catalog, known: Sequence[Boundary], *, allow_extra: bool, through: str | None
) -> Match:
    """Return how the database compares with the boundary that it equals, or comes nearest to.

    Raises NotAdoptableError.
    """
    if not compare(known[0].catalog, live):
        raise NotAdoptableError(
            "There is nothing in this database that a migration would have made. Nothing was "
            "recorded. Type: piccolo migrations forwards all"
        )
    trials = [
        _Trial(number, compare(boundary.catalog, mark_as_in(live, boundary.catalog)))
        for number, boundary in enumerate(known)
        if boundary.migration is not None
    ]
    if not trials:
        raise NotAdoptableError(f"There are no migrations to adopt it to. {NOTHING_RECORDED}")
    proven = [one for one in trials if not hindrances(one.differences, allow_extra=allow_extra)]
    # Of equals the first: what changes rows only leaves no trace to go by, and is still to run.
    best = min(proven or trials, key=lambda trial: len(trial.differences))
    number = _through(through, best.number, known) if proven else best.number
    return _described(live, known, best, number, is_proven=bool(proven))


def hindrances(differences: Sequence[Difference], *, allow_extra: bool) -> list[Difference]:
    """Return the differences because of which nothing may be recorded."""
    return [one for one in differences if not (allow_extra and one.verdict is Verdict.EXTRA)]


def _through(migration: str | None, best: int, known: Sequence[Boundary]) -> int:
    """Return the number of the boundary that was asked for, which has to be an equal one."""
    if migration is None:
        return best
    equals = [best, *_equal_after(best, known)]
    for number in equals:
        if (file := known[number].migration) and file.id == migration:
            return number
    ids = ", ".join(file.id for number in equals if (file := known[number].migration))
    raise NotAdoptableError(
        f"The database is not what {migration} builds. {NOTHING_RECORDED} It can be recorded "
        f"through: {ids}"
    )


def _equal_after(number: int, known: Sequence[Boundary]) -> list[int]:
    """Return the boundaries that follow, as long as no catalog tells them from this one."""
    equal = []
    for later in range(number + 1, len(known)):
        if known[later].catalog != known[number].catalog:
            break
        equal.append(later)
    return equal


def _described(
    live: Catalog, known: Sequence[Boundary], best: _Trial, number: int, *, is_proven: bool
) -> Match:
    files = [boundary.migration for boundary in known]
    boundary = files[number]
    assert boundary is not None
    return Match(
        boundary=boundary,
        expected=known[number].catalog,
        found=mark_as_in(live, known[number].catalog),
        differences=() if is_proven else tuple(best.differences),
        extra=tuple(best.differences) if is_proven else (),
        migrations=tuple(file for file in files[: number + 1] if file),
        unproven=rows_only(known[: number + 1]),
        pending=tuple(
            file for place in _equal_after(number, known) if (file := files[place]) is not None
        ),
        grants=known[number].grants,
    )


def rows_only(known: Sequence[Boundary]) -> tuple[MigrationFile, ...]:
    """Return the migrations that change nothing that a catalog shows."""
    return tuple(
        after.migration
        for before, after in pairwise(known)
        if after.migration and after.catalog == before.catalog
    )
