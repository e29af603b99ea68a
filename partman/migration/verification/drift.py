"""Compare the live database with the result of the applied migrations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from partman.catalog.node_tables import NodeDifference
from partman.catalog.python_defaults import mark_as_in
from partman.database.like_live import like_live
from partman.database.pg_dump import Dump
from partman.database.read_only import reading
from partman.errors import ConcurrentSchemaChangeError, PreflightError
from partman.migration.ledger import preflight
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.built import built_by_migrations
from partman.migration.verification.comparison import (
    Comparison,
    compare_closely,
    with_dumps,
    with_remedy,
)
from partman.migration.verification.deployment import OF_CITUS, as_deployed
from partman.migration.verification.dump_comparison import NotAsked, ask
from partman.migration.verification.live_form import (
    DUMP_OF_OTHER_KEYS,
    LiveDatabase,
    read_live,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


@dataclass(frozen=True)
class Drift:
    """The differences between a database and the result of its applied migrations."""

    applied: tuple[MigrationKey, ...]
    """The migrations in the ledger, oldest first."""
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
class _Live:
    applied: tuple[MigrationKey, ...]
    problems: tuple[Problem, ...]
    database: LiveDatabase


async def find_drift(settings: Settings, scratch: Settings) -> Drift:
    """Compare the live database with its applied migrations; change nothing.

    ``scratch`` is the server on which the migrations are run. The live database is only read, and
    the connection to it is closed before the migrations run; another one counts what the remedy
    would lose. Raises PreflightError if a file of an applied migration is missing or edited,
    ConcurrentSchemaChangeError, and the errors of built_by_migrations().
    """
    async with reading(settings, "partman drift") as connection:
        live = await _read(connection)
    refuse_other_files(live.problems, "Nothing was compared.")
    scratch = await like_live(settings, scratch)
    database = live.database
    is_distributed = database.is_distributed
    dump = DUMP_OF_OTHER_KEYS if is_distributed else _of_schema(await ask(settings))
    built = await built_by_migrations(scratch, live.applied)
    expected_dump = dump if isinstance(dump, NotAsked) else built.dump
    expected = as_deployed(built.catalog, database.catalog, database.tenancy)
    expected = database.form_of(expected)
    found = mark_as_in(database.catalog, expected)
    comparison = await compare_closely(scratch, expected, found)
    comparison = await with_remedy(scratch, comparison, settings)
    return Drift(
        live.applied,
        await with_dumps(scratch, comparison, expected_dump, dump),
        tuple(each for each in live.problems if each.kind in {"interrupted", "removed"}),
        scratch.scratch_note,
        database.nodes,
    )


def _of_schema(dump: Dump | NotAsked) -> Dump | NotAsked:
    """Leave out the extensions that belong to the server."""
    if isinstance(dump, NotAsked):
        return dump
    left_out = {*OF_CITUS, *(f"EXTENSION {name}" for name in OF_CITUS)}
    return replace(
        dump, objects=tuple(each for each in dump.objects if each.identity.name not in left_out)
    )


async def _read(connection: "Connection[Record]") -> _Live:
    before = await _ledger(connection)
    problems = await preflight.inspect(connection)
    database = await read_live(connection)
    if await _ledger(connection) != before:
        raise ConcurrentSchemaChangeError(
            "A migration was applied or reverted while the database was being read. Nothing was "
            "changed. Run the command again when the other run has ended."
        )
    return _Live(before, tuple(problems), database)


async def _ledger(connection: "Connection[Record]") -> tuple[MigrationKey, ...]:
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
