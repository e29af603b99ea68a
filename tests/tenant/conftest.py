"""Two organizations in one database for all tests of a file, as they were before each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from partman.engine import PartmanEngine
from tests.support import Database, as_role, temporary_database
from tests.tenants import Tenants, eventually, in_use, none_in_transaction


@pytest.fixture(scope="module")
def database_of_module(template: Database) -> Iterator[Database]:
    with temporary_database(template.name) as clone:
        yield clone


@pytest.fixture
async def tenants(database_of_module: Database, application_role: str) -> Tenants:
    """Two organizations, with one partner each."""
    two = Tenants(database_of_module, as_role(database_of_module.url, application_role))
    await two.as_owner("DELETE FROM organizations WHERE name IN ('first', 'second')")
    await two.add_organizations()
    return two


@pytest.fixture
async def engine(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartmanEngine]:
    """The application's engine, with a pool of one connection."""
    async with in_use(tenants.engine(PARTMAN_POOL_WAIT="0.05"), monkeypatch, pool=True) as engine:
        yield engine
        await eventually(lambda: none_in_transaction(tenants))
