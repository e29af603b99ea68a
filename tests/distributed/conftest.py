"""Tests on a real cluster: ``make test-distributed``."""

import os
from collections.abc import Iterator

import pytest

from tests.distributed.cluster import Cluster, cluster
from tests.summary import CITUS_VARIABLE
from tests.support import migrate, run

# tests/summary.py says so.
collect_ignore_glob = [] if CITUS_VARIABLE in os.environ else ["test_*.py"]


@pytest.fixture(scope="module")
def seeded() -> Iterator[Cluster]:
    """A migrated database with rows, on the coordinator alone."""
    with cluster() as made:
        migrate(made.database)
        ended = run("partman", "seed", "dev", environment=made.database.environment)
        assert ended.code == 0, ended.output
        yield made


@pytest.fixture(scope="module")
def distributed(seeded: Cluster) -> Cluster:
    """The same, distributed."""
    ended = run("partman", "distribute", environment=seeded.database.environment)
    assert ended.code == 0, ended.output
    return seeded
