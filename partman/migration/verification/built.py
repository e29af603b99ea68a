"""What migrations and table classes build, as values: see kept.py."""

import pickle
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from partman.apps import table_classes
from partman.catalog.model import Catalog
from partman.catalog.read import read_beside_dump
from partman.database.pg_dump import Dump, PrintedDump
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import MigrationKey
from partman.migration.verification.dump_comparison import NotAsked, ask_for_text
from partman.migration.verification.kept import kept
from partman.migration.verification.rebuild import (
    Boundary,
    BuiltDatabase,
    boundaries,
    built_from_classes,
    may_ask_others,
    migrated,
)
from partman.migration.verification.seal import Seal
from partman.settings import Settings


@dataclass(frozen=True)
class Built:
    """A database that was built."""

    seal: Seal
    _packed: bytes = field(repr=False)
    """Pickled, so that it is not read where the seal is enough."""

    @property
    def catalog(self) -> Catalog:
        """What it has."""
        return self._unpacked[0]

    @property
    def dump(self) -> Dump | NotAsked:
        """What pg_dump prints of it."""
        return self._unpacked[1]

    @cached_property
    def _unpacked(self) -> tuple[Catalog, Dump | NotAsked]:
        found: tuple[Catalog, Dump | NotAsked] = pickle.loads(self._packed)  # noqa: S301 -- ours
        return found


async def built_by_migrations(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Built:
    """Return what all migrations build, or ``only`` those.

    Raises the errors of migrated() and of ask().
    """

    async def build() -> tuple[Built, bool]:
        async with migrated(settings, only) as database:
            return await _read(database)

    are_all = only is None or set(only) == {file.key for file in migration_files()}
    chosen = None if only is None or are_all else sorted(only)
    return await kept(settings, ("migrations", chosen), build)


async def built_by_classes(settings: Settings) -> Built:
    """Return what the table classes build. Raises the errors of built_from_classes() and ask()."""

    async def build() -> tuple[Built, bool]:
        async with built_from_classes(settings) as database:
            return await _read(database)

    table_classes()  # imports them
    return await kept(settings, ("classes",), build)


async def _read(database: BuiltDatabase) -> tuple[Built, bool]:
    """Return a database that was built, and whether another build would be the same."""
    connection, catalog = database.connection, database.catalog
    printed = await ask_for_text(database.settings, connection=connection)
    seal = Seal.of(catalog, printed, await read_beside_dump(connection))
    is_lasting = isinstance(printed, PrintedDump) and not await may_ask_others(connection)
    dump = printed if isinstance(printed, NotAsked) else printed.divided
    return Built(seal, pickle.dumps((catalog, dump))), is_lasting


async def known_boundaries(
    settings: Settings,
    report: Callable[[MigrationFile], None],
    only: Sequence[MigrationFile] | None = None,
    look: Callable[[Boundary, Settings], Awaitable[None]] | None = None,
    form_of: Callable[[Catalog], Catalog] = lambda declared: declared,
) -> list[Boundary]:
    """Return boundaries(); where they are kept, ``report`` and ``look`` are not called.

    ``form_of`` gives the returned catalogs the form of the live database.
    """

    async def build() -> tuple[list[Boundary], bool]:
        built = await boundaries(settings, report, only, look)
        return built, not any(each.may_ask_others for each in built)

    chosen = None if only is None else [file.key for file in only]
    known = await kept(settings, ("boundaries", chosen), build)
    return [replace(each, catalog=form_of(each.catalog)) for each in known]
