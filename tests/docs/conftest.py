"""``pytest tests/docs --record`` writes the current output of commands into the documents."""

from collections.abc import Iterator

import pytest

from tests.docs.environments import Clone, new_clone


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the outputs into the documents")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A reader's clone, for all documents that a worker follows."""
    with new_clone(tmp_path_factory.mktemp("reader")) as made:
        yield made
