"""Which migrations a script is about."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from partman.database.distributed import refuse_distributed
from partman.database.read_only import reading
from partman.errors import NotAllowedError
from partman.migration.ledger import preflight
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.find import find
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.drift import refuse_other_files
from partman.settings import Settings

NONE = "none"
"""The version of an empty database."""
_INSTEAD = (
    "A run divides new tables, and looks at all nodes, which a script cannot: partman migrate"
)


@dataclass(frozen=True)
class Choice:
    """The migrations of a script, in the order in which it runs them."""

    applied: tuple[MigrationFile, ...]
    """The migrations that the database has."""
    migrations: tuple[MigrationFile, ...]


async def choose(
    settings: Settings, *, start: str | None, end: str | None, reverting: bool
) -> Choice:
    """Choose the migrations from one version to another.

    ``start``: a migration's ID, up to which all are applied, or NONE; by default what the ledger
    of the database has. ``end``: the last one that is applied afterwards, or NONE; by default all.
    Raises UnknownMigrationError, DistributedError, and NotAllowedError if nothing is left to do.
    """
    files = migration_files()
    if start is None:
        applied = await _applied(settings)
        before = [file for file in files if file.key in applied]
    else:
        before = files[: _position(files, start)]
    after = files[: len(files) if end is None else _position(files, end)]
    chosen = [file for file in before if file not in after] if reverting else []
    if not reverting:
        chosen = [file for file in after if file not in before]
    if not chosen:
        raise NotAllowedError(
            f"There is nothing to {'revert' if reverting else 'apply'} between these versions. No "
            "script was written. See: partman status"
        )
    return Choice(tuple(before), tuple(reversed(chosen) if reverting else chosen))


def _position(files: Sequence[MigrationFile], version: str) -> int:
    """Return how many migrations there are up to a version."""
    if version == NONE:
        return 0
    keys = [file.key for file in files]
    return keys.index(find(keys, version, "No script was written.")) + 1


async def _applied(settings: Settings) -> Collection[MigrationKey]:
    async with reading(settings, "partman sql") as connection:
        await refuse_distributed(connection, "No script was written", _INSTEAD)
        applied = {row.key for row in await read_ledger(connection)}
        refuse_other_files(await preflight.inspect(connection), "No script was written.")
    return applied
