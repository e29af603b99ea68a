"""A catalog sees each change of a schema, as one difference, and nothing but that."""

from collections.abc import Iterator

import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import headline, sides
from tests.catalog import read
from tests.database.catalog_sample import CHANGES, NO_CHANGES, SAMPLE, Change
from tests.support import Database, execute, temporary_database


@pytest.fixture(scope="session")
def sample_template(template: Database) -> Iterator[Database]:
    """The sample, on a server where the migrations have made the roles."""
    with temporary_database() as database:
        execute(database.url, *SAMPLE)
        yield database


@pytest.fixture
def sample(sample_template: Database) -> Iterator[Database]:
    with temporary_database(sample_template.name) as database:
        yield database


@pytest.fixture(scope="session")
def expected(sample_template: Database) -> Catalog:
    with temporary_database(sample_template.name) as database:
        return read(database.url)


def test_a_copy_is_equal(sample: Database, expected: Catalog) -> None:
    found = read(sample.url)
    assert compare(expected, found) == []
    assert found == expected
    assert hash(found) == hash(expected)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.headline)
def test_sees(sample: Database, expected: Catalog, change: Change) -> None:
    execute(sample.url, change.sql)
    found = read(sample.url)
    differences = compare(expected, found)
    assert [headline(difference) for difference in differences] == [change.headline]
    if change.expected or change.found:
        assert sides(differences[0]) == (change.expected, change.found)
    assert found != expected


@pytest.mark.parametrize("change", NO_CHANGES)
def test_does_not_mind(sample: Database, expected: Catalog, change: str) -> None:
    execute(sample.url, NO_CHANGES[change])
    assert compare(expected, read(sample.url)) == []
