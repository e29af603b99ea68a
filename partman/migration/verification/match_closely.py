"""Complete a match: with what would make the database equal, or with what pg_dump sees."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.python_defaults import mark_as_in
from partman.database.pg_dump import Dump
from partman.migration.ledger.files import MigrationFile
from partman.migration.verification.built import built_by_migrations
from partman.migration.verification.comparison import (
    Beyond,
    Comparison,
    with_dumps,
    with_remedy,
)
from partman.migration.verification.dump_comparison import (
    NotAsked,
    ask,
    with_expected_defaults,
)
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.live_form import DUMP_OF_OTHER_KEYS
from partman.migration.verification.match import Match, match_boundary
from partman.migration.verification.rebuild import Boundary
from partman.migration.verification.same_expressions import written_alike
from partman.settings import Settings


@dataclass
class BoundaryDumps:
    """What pg_dump prints at the boundaries whose catalog the live database equals."""

    live: Catalog
    _dumps: dict[MigrationFile | None, Dump | NotAsked] = field(default_factory=dict)

    async def look(self, boundary: Boundary, database: Settings) -> None:
        """Ask pg_dump about a boundary, while its database exists."""
        if not compare(boundary.catalog, mark_as_in(self.live, boundary.catalog)):
            self._dumps[boundary.migration] = await ask(database)

    async def at(self, match: Match, scratch: Settings) -> Dump | NotAsked:
        """Return what pg_dump prints at the boundary of a match; build it again if needed."""
        if match.boundary in self._dumps:
            return self._dumps[match.boundary]
        keys = {file.key for file in (*match.applied, *match.migrations)}
        built = await built_by_migrations(scratch, keys)
        if isinstance(built.dump, NotAsked):
            return built.dump
        # The boundary is of another build, in which Python has computed other defaults.
        return with_expected_defaults(built.dump, match.expected, built.catalog)


async def match_boundary_closely(
    scratch: Settings,
    live: Catalog,
    known: Sequence[Boundary],
    *,
    allow_extra: bool,
    through: str | None,
) -> Match:
    """Return the boundary that a database equals, however its expressions are written.

    Raises the errors of match_boundary() and of scratch_database().
    """
    match = match_boundary(live, known, allow_extra=allow_extra, through=through)
    if match.differences:
        written = await written_alike(scratch, match.expected, match.found)
        if written is not match.found:
            return match_boundary(written, known, allow_extra=allow_extra, through=through)
    return match


async def completed(
    settings: Settings,
    scratch: Settings,
    match: Match,
    dumps: BoundaryDumps,
    owner: str,
    *,
    is_distributed: bool = False,
) -> Match:
    """Add a comparison to a match.

    If the database is not equal, it has the remedy; if it is, what pg_dump sees. ``owner`` is the
    role that will own the ledger. ``is_distributed``: of a distributed database, pg_dump prints
    other keys, so that it is not asked.
    """
    isolation = Isolation.of_project()
    comparison = Comparison(match.expected, match.found, isolation.first(match.differences))
    if match.ahead or match.by_hand:
        return replace(match, comparison=comparison)
    if match.differences:
        comparison = await with_remedy(scratch, comparison, settings)
    else:
        found: Dump | NotAsked = DUMP_OF_OTHER_KEYS
        expected = found
        if not is_distributed:
            found = await ask(settings, owner=owner)
            expected = await dumps.at(match, scratch)
        comparison = replace(comparison, differences=match.extra)
        comparison = await with_dumps(scratch, comparison, expected, found)
        comparison = _without_extra(replace(comparison, differences=()), match)
    return replace(match, comparison=comparison, differences=comparison.differences)


def _without_extra(comparison: Comparison, match: Match) -> Comparison:
    """Leave out what only the live database has, if that is allowed."""
    if not match.allows_extra:
        return comparison
    kept = tuple(each for each in comparison.beyond.differences if each.expected is not None)
    return replace(comparison, beyond=Beyond(kept, comparison.beyond.not_compared))
