"""The live database against what exactly the applied migrations build."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from partman.catalog.compare import Difference, compare
from partman.catalog.model import Catalog
from partman.catalog.python_defaults import mark_as_in
from partman.catalog.read import read_catalog
from partman.database.read_only import reading
from partman.errors import ConcurrentSchemaChangeError, PreflightError
from partman.migration.ledger import preflight
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.rebuild import catalog_of_migrations
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


@dataclass(frozen=True)
class Drift:
    """What is not as the applied migrations have made it."""

    applied: tuple[MigrationKey, ...]
    """The migrations that the ledger holds, oldest first."""
    expected: Catalog
    """What they build."""
    found: Catalog
    """What the live database has."""
    notes: tuple[Problem, ...]
    """What may explain them: online migrations that are half done, and migrations that somebody
    has taken out of the ledger by hand."""

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Every single one."""
        return tuple(compare(self.expected, self.found))

    @property
    def is_there(self) -> bool:
        """Whether the database is not at rest at what its ledger says."""
        return bool(self.differences) or any(note.kind == "interrupted" for note in self.notes)


@dataclass(frozen=True)
class _Live:
    applied: tuple[MigrationKey, ...]
    problems: tuple[Problem, ...]
    catalog: Catalog


async def find_drift(settings: Settings, scratch: Settings) -> Drift:
    """Compare; change nothing.

    ``scratch`` says on which server the migrations are run. The live database is only read, and
    nobody is connected to it any more by then. Raises PreflightError where a file of an applied
    migration is missing or edited, ConcurrentSchemaChangeError, and what catalog_of_migrations()
    raises.
    """
    async with reading(settings, "partman drift") as connection:
        live = await _read(connection)
    refuse_other_files(live.problems, "Nothing was compared.")
    expected = await catalog_of_migrations(scratch, live.applied)
    return Drift(
        live.applied,
        expected,
        mark_as_in(live.catalog, expected),
        tuple(one for one in live.problems if one.kind in {"interrupted", "removed"}),
    )


async def _read(connection: "Connection[Record]") -> _Live:
    before = await _ledger(connection)
    problems = await preflight.inspect(connection)
    catalog = await read_catalog(connection)
    if await _ledger(connection) != before:
        raise ConcurrentSchemaChangeError(
            "A migration was applied or undone while the database was being read. Nothing was "
            "done. Type the command again when the run is over."
        )
    return _Live(before, tuple(problems), catalog)


async def _ledger(connection: "Connection[Record]") -> tuple[MigrationKey, ...]:
    return tuple(row.key for row in await read_ledger(connection))


def refuse_other_files(problems: Sequence[Problem], consequence: str) -> None:
    """Raise PreflightError where a file of an applied migration is missing or edited.

    ``consequence`` is the sentence that says what was not done.
    """
    told = [one.message for one in problems if one.kind in {"edited", "missing"}]
    if told:
        raise PreflightError(
            f"{' '.join(told)} What the applied migrations build is not known without the files as "
            f"they were. {consequence}"
        )
