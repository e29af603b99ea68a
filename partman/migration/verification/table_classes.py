"""Compare the table classes with the result of the migrations."""

from dataclasses import dataclass

from partman.catalog.expansions import OpenContract, closing, open_contracts
from partman.catalog.model import Catalog
from partman.database.pg_dump import Dump
from partman.migration.verification.built import built_by_classes, built_by_migrations
from partman.migration.verification.comparison import (
    NO_DIFFERENCE,
    Comparison,
    compare_closely,
    with_dumps,
)
from partman.migration.verification.dump_comparison import NotAsked, ask
from partman.migration.verification.rebuild import migrated, read_migrated_over
from partman.settings import Settings


@dataclass(frozen=True)
class Models:
    """The comparison of table classes and migrations."""

    objects: int
    """The number of objects that the table classes and their extras build."""
    comparison: Comparison
    """Expected: the table classes. Found: the migrations, without what open contracts drop."""
    contracts: tuple[OpenContract, ...]
    """The contracts that no migration closes yet."""


async def compare_models(settings: Settings) -> Models:
    """Build both on scratch databases and compare them.

    ``settings`` name the server. Raises the errors of the two builds.
    """
    expected = await built_by_classes(settings)
    found = await built_by_migrations(settings)
    if expected.seal.is_same_as(found.seal) and not found.seal.has_contracts:
        return Models(expected.seal.objects, NO_DIFFERENCE, ())
    catalog, dump = found.catalog, found.dump
    contracts = tuple(open_contracts(catalog).values())
    if contracts:
        catalog, dump = await _after_contracts(settings, expected.catalog)
    comparison = await compare_closely(settings, expected.catalog, catalog)
    return Models(
        expected.seal.objects,
        await with_dumps(settings, comparison, expected.dump, dump),
        contracts,
    )


async def _after_contracts(
    settings: Settings, expected: Catalog
) -> tuple[Catalog, Dump | NotAsked]:
    """Return what the migrations build, without what open contracts drop."""
    async with migrated(settings) as database:
        for statement in closing(database.catalog, expected):
            await database.connection.execute(statement)
        found = await read_migrated_over(database.connection, database.settings)
        return found, await ask(database.settings)
