"""Compare the table classes with the result of the migrations."""

from dataclasses import dataclass

from partman.catalog.expansions import OpenContract, closing, open_contracts
from partman.catalog.model import Catalog
from partman.database.connection import connected
from partman.migration.verification.built import Built, built_by_classes, built_by_migrations
from partman.migration.verification.comparison import Comparison, compare_closely, with_dumps
from partman.migration.verification.dump_comparison import ask
from partman.migration.verification.rebuild import migrated, read_migrated
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
    contracts = tuple(open_contracts(found.catalog).values())
    if contracts:
        found = await _after_contracts(settings, expected.catalog)
    comparison = await compare_closely(settings, expected.catalog, found.catalog)
    return Models(
        len(expected.catalog.objects),
        await with_dumps(settings, comparison, expected.dump, found.dump),
        contracts,
    )


async def _after_contracts(settings: Settings, expected: Catalog) -> Built:
    """Return what the migrations build, without what open contracts drop."""
    async with migrated(settings) as (database, found):
        async with connected(database, "partman check") as connection:
            for statement in closing(found, expected):
                await connection.execute(statement)
        return Built(await read_migrated(database), await ask(database))
