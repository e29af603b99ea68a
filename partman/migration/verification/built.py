"""What migrations and table classes build, as values: see kept.py."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from partman.apps import table_classes
from partman.catalog.model import Catalog
from partman.database.connection import connected
from partman.database.pg_dump import Dump
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import MigrationKey
from partman.migration.verification.dump_comparison import NotAsked, ask
from partman.migration.verification.kept import kept
from partman.migration.verification.rebuild import (
    MAY_ASK_OTHERS,
    Boundary,
    boundaries,
    built_from_classes,
    migrated,
)
from partman.settings import Settings


@dataclass(frozen=True)
class Built:
    """A database that was built."""

    catalog: Catalog
    dump: Dump | NotAsked


async def built_by_migrations(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Built:
    """Return what all migrations build, or ``only`` those.

    Raises the errors of migrated() and of ask().
    """

    async def build() -> tuple[Built, bool]:
        async with migrated(settings, only) as (database, catalog):
            return await _read(database, catalog)

    are_all = only is None or set(only) == {file.key for file in migration_files()}
    chosen = None if only is None or are_all else sorted(only)
    return await kept(settings, ("migrations", chosen), build)


async def built_by_classes(settings: Settings) -> Built:
    """Return what the table classes build. Raises the errors of built_from_classes() and ask()."""

    async def build() -> tuple[Built, bool]:
        async with built_from_classes(settings) as (database, catalog):
            return await _read(database, catalog)

    table_classes()  # imports them
    return await kept(settings, ("classes",), build)


async def _read(database: Settings, catalog: Catalog) -> tuple[Built, bool]:
    """Return a database that was built, and whether another build would be the same."""
    dump = await ask(database)
    return Built(catalog, dump), isinstance(dump, Dump) and not await _may_ask_others(database)


async def _may_ask_others(database: Settings) -> bool:
    """Whether the migrations could have built what another server, or a file, said."""
    async with connected(database, "partman: scratch database") as connection:
        found: bool = await connection.fetchval(MAY_ASK_OTHERS)
        return found


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
