"""Compare the table classes with the result of the migrations."""

from dataclasses import dataclass

from partman.catalog.compare import Difference, compare
from partman.migration.verification.rebuild import catalog_of_classes, catalog_of_migrations
from partman.settings import Settings


@dataclass(frozen=True)
class Models:
    """The comparison of table classes and migrations."""

    objects: int
    """The number of objects that the table classes and their extras build."""
    differences: tuple[Difference, ...]
    """Expected: the table classes. Found: the migrations."""


async def compare_models(settings: Settings) -> Models:
    """Build both on scratch databases and compare them.

    ``settings`` name the server. Raises the errors of the two builds.
    """
    found = await catalog_of_migrations(settings)
    expected = await catalog_of_classes(settings)
    return Models(len(expected.objects), tuple(compare(expected, found)))
