"""Planning takes work in proportion to the number of objects."""

import sys
from collections.abc import Callable

import pytest

from benchmarks.large_catalog import large
from partman.catalog.ddl.online import steps
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Table

pytestmark = pytest.mark.same_on_every_version


def calls(work: Callable[[], object]) -> int:
    """Return how many functions a piece of work calls: the same number each time."""
    number = 0

    def count(*_: object) -> None:
        nonlocal number
        number += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


def planned(expected: Catalog, found: Catalog) -> None:
    done = plan(expected, found)
    steps(done.changes, expected, {table.reference for table in found.of(Table)}, done.style)


@pytest.mark.parametrize("missing", ["indexes", "everything", "nothing", "the types' labels"])
def test_four_times_the_objects_are_four_times_the_work(missing: str) -> None:
    def work(tables: int) -> int:
        found = {
            "indexes": large(tables, indexed=False),
            "everything": Catalog(()),
            "nothing": large(tables),
            "the types' labels": large(tables, labels=("a", "b", "c")),
        }[missing]
        return calls(lambda: planned(large(tables), found))

    work(10)  # what is kept between calls
    assert work(120) < 4.6 * work(30)
