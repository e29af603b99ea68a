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
from partman.migration.verification.comparison import Comparison
from partman.migration.verification.rebuild import Boundary

NOTHING_RECORDED = "The database is unchanged; nothing was recorded."


@dataclass(frozen=True)
class Match:
    """How a database compares with the result of the migrations."""

    boundary: MigrationFile
    """The migration whose result the database equals, or the closest one if it equals none. With a
    ledger: the last migration in the ledger.
    """
    expected: Catalog
    """The catalog that the migrations up to the boundary build."""
    found: Catalog
    """The catalog of the database."""
    differences: tuple[Difference, ...]
    """The reasons why the database is not equal. While there is one, nothing is recorded."""
    extra: tuple[Difference, ...]
    """Objects that only the live database has, if the caller allows them."""
    migrations: tuple[MigrationFile, ...]
    """The migrations to be recorded."""
    unproven: tuple[MigrationFile, ...]
    """Those of ``migrations`` that change only rows: no catalog shows whether they were run."""
    pending: tuple[MigrationFile, ...]
    """Without a ledger: the later migrations that change only rows. The catalog equals their result
    too. They are not recorded, so the next run applies them.
    """
    grants: tuple[str, ...]
    """Statements: the privileges on the bookkeeping tables that the migrations up to the boundary
    grant.
    """
    applied: tuple[MigrationFile, ...] = ()
    """The migrations that the ledger has already."""
    ahead: tuple[MigrationFile, ...] = ()
    """Migrations in the ledger that the database lacks: it equals the result of the others."""
    by_hand: tuple[MigrationFile, ...] = ()
    """Migrations that the ledger lacks and the database has: it equals their result."""
    notes: tuple[Problem, ...] = ()
    """Other problems of files and ledger, which remain."""
    allows_extra: bool = False
    """Whether the caller allows what only the live database has."""
    comparison: Comparison | None = None
    """If the database is not equal: what would make it so. If it is: what pg_dump sees."""
    scratch_note: str | None = None
    """What the scratch databases could not have of the live one."""

    @property
    def is_equal(self) -> bool:
        """Whether the database differs in nothing that was compared."""
        return not self.differences and not (self.comparison and self.comparison.number)

    def may_be_recorded(self, *, strict: bool) -> bool:
        """Whether it is equal and, if ``strict``, everything was compared."""
        compared = self.comparison is None or not self.comparison.beyond.not_compared
        return self.is_equal and (compared or not strict)


@dataclass(frozen=True)
class _Trial:
    """A boundary, compared with the live database."""

    number: int
    """The index among the boundaries; 0 is the boundary before the first migration."""
    differences: list[Difference]


def match_boundary(
    live: Catalog, known: Sequence[Boundary], *, allow_extra: bool, through: str | None
) -> Match:
    """Return how the database compares with the boundary that it equals or is closest to.

    Raises NotAdoptableError.
    """
    if not compare(known[0].catalog, live):
        raise NotAdoptableError(
            "This database contains nothing that a migration creates. Nothing was recorded. "
            "Apply the migrations: piccolo migrations forwards all"
        )
    trials = [
        _Trial(number, compare(boundary.catalog, mark_as_in(live, boundary.catalog)))
        for number, boundary in enumerate(known)
        if boundary.migration is not None
    ]
    if not trials:
        raise NotAdoptableError(f"The project has no migrations. {NOTHING_RECORDED}")
    proven = [each for each in trials if not hindrances(each.differences, allow_extra=allow_extra)]
    # Of equal boundaries take the first: a later migration that changes only rows leaves no trace
    # in the catalog and may still have to run.
    best = min(proven or trials, key=lambda trial: len(trial.differences))
    number = _through(through, best.number, known) if proven else best.number
    return _described(live, known, best, number, is_proven=bool(proven))


def hindrances(differences: Sequence[Difference], *, allow_extra: bool) -> list[Difference]:
    """Return the differences that forbid recording."""
    return [each for each in differences if not (allow_extra and each.verdict is Verdict.EXTRA)]


def _through(migration: str | None, best: int, known: Sequence[Boundary]) -> int:
    """Return the number of the requested boundary, which must equal the database."""
    if migration is None:
        return best
    equals = [best, *_equal_after(best, known)]
    for number in equals:
        if (file := known[number].migration) and file.id == migration:
            return number
    ids = ", ".join(file.id for number in equals if (file := known[number].migration))
    raise NotAdoptableError(
        f"The database differs from the result of {migration}. {NOTHING_RECORDED} It can be "
        f"recorded through: {ids}"
    )


def _equal_after(number: int, known: Sequence[Boundary]) -> list[int]:
    """Return the boundaries that follow directly and have the same catalog."""
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
