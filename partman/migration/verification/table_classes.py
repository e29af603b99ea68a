"""Compare the table classes with the result of the migrations."""

from dataclasses import dataclass

from partman.catalog.expansions import OpenContract, closing, open_contracts
from partman.database.connection import connected
from partman.migration.verification.comparison import Comparison, compare_closely, with_dumps
from partman.migration.verification.dump_comparison import ask
from partman.migration.verification.rebuild import (
    built_from_classes,
    migrated,
    read_migrated,
)
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
    async with built_from_classes(settings) as (database, expected):
        expected_dump = await ask(database)
    async with migrated(settings) as (database, found):
        contracts = tuple(open_contracts(found).values())
        if contracts:
            async with connected(database, "partman check") as connection:
                for statement in closing(found, expected):
                    await connection.execute(statement)
            found = await read_migrated(database)
        dump = await ask(database)
    comparison = await compare_closely(settings, expected, found)
    return Models(
        len(expected.objects),
        await with_dumps(settings, comparison, expected_dump, dump),
        contracts,
    )
