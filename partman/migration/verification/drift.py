"""Compare the live database with the result of the applied migrations."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from partman.catalog.model import Catalog
from partman.catalog.node_tables import NodeDifference
from partman.catalog.python_defaults import mark_as_in
from partman.catalog.read import read_beside_dump
from partman.database.distributed import own_distribution
from partman.database.engine import DatabaseEngine, project_engine
from partman.database.like_live import like_live
from partman.database.pg_dump import Dump, PrintedDump
from partman.database.read_only import reading
from partman.errors import ConcurrentSchemaChangeError, PreflightError
from partman.migration.ledger import preflight
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.built import Built, built_by_migrations
from partman.migration.verification.comparison import (
    NO_DIFFERENCE,
    Comparison,
    compare_closely,
    with_dumps,
    with_remedy,
)
from partman.migration.verification.deployment import OF_CITUS, as_deployed
from partman.migration.verification.dump_comparison import NotAsked, ask_for_text
from partman.migration.verification.live_form import (
    DUMP_OF_OTHER_KEYS,
    LiveDatabase,
    read_live,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")


@dataclass(frozen=True)
class Drift:
    """The differences between a database and the result of its applied migrations."""

    applied: tuple[MigrationKey, ...]
    """The migrations in the ledger, oldest first."""
    objects: int
    """How many the live database has."""
    comparison: Comparison
    """Expected is what they build, found is the live database."""
    notes: tuple[Problem, ...]
    """Possible explanations: unfinished online migrations, and migrations that were removed from
    the ledger by hand.
    """
    scratch_note: str | None
    """What the scratch database could not have of the live one."""
    nodes: tuple[NodeDifference, ...] = ()
    """Of a distributed database: what a node or a shard has otherwise than the coordinator."""

    @property
    def is_detected(self) -> bool:
        """Whether the database differs from its ledger or has an unfinished migration."""
        interrupted = any(note.kind == "interrupted" for note in self.notes)
        return self.comparison.number > 0 or interrupted or bool(self.nodes)


@dataclass(frozen=True)
class _Ledger:
    applied: tuple[MigrationKey, ...]
    problems: tuple[Problem, ...]

    @property
    def notes(self) -> tuple[Problem, ...]:
        return tuple(each for each in self.problems if each.kind in {"interrupted", "removed"})


async def find_drift(settings: Settings, scratch: Settings) -> Drift:
    """Compare the live database with its applied migrations; change nothing.

    ``scratch`` is the server on which the migrations are run. The live database is only read, and
    no connection to it is open while the migrations run; another one counts what the remedy would
    lose. Raises PreflightError if a file of an applied migration is missing or edited,
    ConcurrentSchemaChangeError, and the errors of built_by_migrations().
    """
    async with reading(settings, "partman drift") as connection:
        ledger, beside = await _look(connection, _read_beside)
    refuse_other_files(ledger.problems, "Nothing was compared.")
    scratch = await like_live(settings, scratch)
    printed = DUMP_OF_OTHER_KEYS if beside is None else await ask_for_text(settings)
    built = await built_by_migrations(scratch, ledger.applied)
    if beside is not None and not scratch.builds_anew:
        tenancy = project_engine(DatabaseEngine).tenancy
        if built.seal.is_of_live(printed, beside, tenancy):
            number = built.seal.objects - len(built.seal.beside.objects) + len(beside.objects)
            return Drift(ledger.applied, number, NO_DIFFERENCE, ledger.notes, scratch.scratch_note)
    async with reading(settings, "partman drift") as connection:
        again, live = await _look(connection, read_live)
    if again.applied != ledger.applied:
        raise _changed_meanwhile()
    return await _compared(settings, scratch, again, live, built, printed)


async def _compared(
    settings: Settings,
    scratch: Settings,
    ledger: _Ledger,
    live: LiveDatabase,
    built: Built,
    printed: PrintedDump | NotAsked,
) -> Drift:
    """Compare all of both databases."""
    dump = printed if isinstance(printed, NotAsked) else _of_schema(printed.divided)
    expected_dump = dump if isinstance(dump, NotAsked) else built.dump
    expected = as_deployed(built.catalog, live.catalog, live.tenancy)
    expected = live.form_of(expected)
    found = mark_as_in(live.catalog, expected)
    comparison = await compare_closely(scratch, expected, found)
    comparison = await with_remedy(scratch, comparison, settings)
    return Drift(
        ledger.applied,
        len(comparison.found.objects),
        await with_dumps(scratch, comparison, expected_dump, dump),
        ledger.notes,
        scratch.scratch_note,
        live.nodes,
    )


def _of_schema(dump: Dump) -> Dump:
    """Leave out the extensions that belong to the server."""
    left_out = {*OF_CITUS, *(f"EXTENSION {name}" for name in OF_CITUS)}
    return replace(
        dump, objects=tuple(each for each in dump.objects if each.identity.name not in left_out)
    )


async def _read_beside(connection: "Connection[Record]") -> Catalog | None:
    """Return what pg_dump does not print; None for a distributed database, which is never dumped.

    Raises the errors of own_distribution() and of read_beside_dump().
    """
    if await own_distribution(connection) is not None:
        return None
    return await read_beside_dump(connection)


async def _look(
    connection: "Connection[Record]", read: "Callable[[Connection[Record]], Awaitable[T]]"
) -> tuple[_Ledger, T]:
    """Return the ledger, and what was read while it was the same."""
    before = await _applied(connection)
    problems = await preflight.inspect(connection)
    found = await read(connection)
    if await _applied(connection) != before:
        raise _changed_meanwhile()
    return _Ledger(before, tuple(problems)), found


def _changed_meanwhile() -> ConcurrentSchemaChangeError:
    return ConcurrentSchemaChangeError(
        "A migration was applied or reverted while the database was being read. Nothing was "
        "changed. Run the command again when the other run has ended."
    )


async def _applied(connection: "Connection[Record]") -> tuple[MigrationKey, ...]:
    return tuple(row.key for row in await read_ledger(connection))


def refuse_other_files(problems: Sequence[Problem], consequence: str) -> None:
    """Raise PreflightError if a file of an applied migration is missing or edited.

    ``consequence`` is a sentence that says what was not done.
    """
    messages = [each.message for each in problems if each.kind in {"edited", "missing"}]
    if messages:
        raise PreflightError(
            f"{' '.join(messages)} Without the original files, the result of the applied "
            f"migrations is unknown. {consequence}"
        )
