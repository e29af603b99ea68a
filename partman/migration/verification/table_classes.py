"""What the table classes say, against what the migrations build."""

from dataclasses import dataclass

from partman.catalog.compare import Difference, compare
from partman.migration.verification.rebuild import catalog_of_classes, catalog_of_migrations
from partman.settings import Settings


@dataclass(frozen=True)
class Models:
    """How they stand to each other."""

    objects: int
    """How many the table classes and their extras build."""
    differences: tuple[Difference, ...]
    """Expected is what the classes say, found is what the migrations build."""


async def compare_models(settings: Settings) -> Models:
    """Build both on scratch databases, and compare.

    ``settings`` say on which server. Raises what the builds raise.
    """
    found = await catalog_of_migrations(settings)
    expected = await catalog_of_classes(settings)
    return Models(len(expected.objects), tuple(compare(expected, found)))
