"""Compare two catalogs for a person: equal however written, with a remedy that was tried."""

from dataclasses import dataclass, field, replace

import asyncpg

from partman.catalog.compare import Difference, compare
from partman.catalog.model import Catalog, Reference
from partman.database.explain import CONNECTION_LOST
from partman.database.pg_dump import Dump
from partman.errors import PartmanError
from partman.migration.verification import dump_comparison
from partman.migration.verification.dump_comparison import DumpDifference, NotAsked
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.losses import counted_in
from partman.migration.verification.same_expressions import write_alike
from partman.migration.verification.tried_remedy import TriedRemedy, try_remedy, untried_remedy
from partman.settings import Settings


@dataclass(frozen=True)
class Beyond:
    """What is not in the catalogs."""

    differences: tuple[DumpDifference, ...] = ()
    """What pg_dump sees, and the catalogs do not have."""
    not_compared: tuple[str, ...] = ()
    """What nothing has compared, in words."""


@dataclass(frozen=True)
class Comparison:
    """How two databases differ, and what brings the one to the other."""

    expected: Catalog
    found: Catalog
    """With the expressions written as expected that mean the same."""
    differences: tuple[Difference, ...]
    """Those about isolation first."""
    beyond: Beyond = field(default_factory=Beyond)
    remedy: TriedRemedy = field(default_factory=TriedRemedy)
    expected_copy: Catalog | None = None
    """What is expected, as a copy of it prints it, if there was one."""

    @property
    def number(self) -> int:
        """How many differences there are."""
        return len(self.differences) + len(self.beyond.differences)


NO_DIFFERENCE = Comparison(Catalog(()), Catalog(()), ())
"""Of two databases whose seals say that they are the same."""


async def compare_closely(scratch: Settings, expected: Catalog, found: Catalog) -> Comparison:
    """Compare two catalogs; builds nothing if they are equal.

    ``scratch`` is the server for copies. Raises the errors of scratch_database().
    """
    written = await write_alike(scratch, expected, found)
    differences = Isolation.of_project().first(compare(expected, written.found))
    return Comparison(expected, written.found, differences, expected_copy=written.expected_copy)


async def with_remedy(scratch: Settings, comparison: Comparison, live: Settings) -> Comparison:
    """Add the remedy, tried on a copy, with the losses counted in the live database.

    Where it cannot be tried, it says why. Raises the errors of reading().
    """
    if not comparison.differences:
        return comparison
    sides = (comparison.expected, comparison.found)
    try:
        remedy = await try_remedy(scratch, *sides, Isolation.of_project(), comparison.expected_copy)
    except (PartmanError, asyncpg.PostgresError, *CONNECTION_LOST) as error:
        remedy = untried_remedy(*sides, str(error))
    losses = [statement.loss for statement in remedy.all_statements if statement.loss]
    return replace(comparison, remedy=remedy.with_losses(await counted_in(live, losses)))


async def with_dumps(
    scratch: Settings,
    comparison: Comparison,
    expected: Dump | NotAsked,
    found: Dump | NotAsked,
) -> Comparison:
    """Add what pg_dump sees beside the catalogs. Raises the errors of scratch_database()."""
    catalogs = (comparison.expected, comparison.found)
    unread = dict.fromkeys(each for catalog in catalogs for each in catalog.not_compared)
    for asked in (expected, found):
        if isinstance(asked, NotAsked):
            not_compared = (*_in_words(unread), asked.reason)
            return replace(comparison, beyond=Beyond((), not_compared))
    assert isinstance(expected, Dump)
    assert isinstance(found, Dump)
    known = dump_comparison.names_of(comparison.differences, *catalogs)
    found = dump_comparison.with_expected_defaults(found, *catalogs)
    seen = await dump_comparison.compare_dumps(scratch, expected, found, known)
    both = Dump((*expected.objects, *found.objects))
    return replace(
        comparison,
        beyond=Beyond(
            seen,
            _in_words(dump_comparison.not_in(both, tuple(unread))),
        ),
    )


def _in_words(references: "tuple[Reference, ...] | dict[Reference, None]") -> tuple[str, ...]:
    return tuple(map(str, references))
