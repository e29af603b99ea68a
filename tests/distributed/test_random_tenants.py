"""Random tenants of tests/isolation do random things at once, to a distributed database."""

from collections.abc import Iterator

import pytest

from tests.distributed.cluster import cluster
from tests.distributed.isolated import ready
from tests.isolation.test_random_tenants import *  # noqa: F403
from tests.support import Database


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with cluster() as made:
        ready(made)
        yield made.database


@pytest.fixture
def populated() -> None:
    """On a single server, that which lets the application log in."""
