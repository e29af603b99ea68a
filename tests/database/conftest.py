"""What several of the tests on a database begin with: servers, samples, an application."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from partman.catalog.model import Catalog
from partman.database import embedded
from partman.engine import PartmanEngine
from tests.catalog import read
from tests.database.adopt_support import STORY
from tests.database.audit_support import keep_set_config_from_public
from tests.database.catalog_sample import SAMPLE
from tests.database.embedded_helpers import copied, temporary_directory
from tests.database.new_support import BLOG, SHOP
from tests.faults.processes import Zygote
from tests.several_apps import SeveralApps
from tests.support import Database, execute, temporary_database
from tests.tenants import Tenants, in_use


@pytest.fixture
def several(tmp_path: Path, empty_database: Database) -> SeveralApps:
    """A project without apps yet, on an empty database; it knows nothing of this one's tables."""
    return SeveralApps(tmp_path, empty_database, Zygote("packages"))


@pytest.fixture
def blog_and_shop(several: SeveralApps) -> SeveralApps:
    """Two apps, of which the second refers to the first, registered the wrong way round."""
    several.register("shop", "blog")
    several.app("blog", BLOG)
    several.app("shop", SHOP, needs=["blog"])
    return several


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder in which no server has been yet."""
    with temporary_directory() as folder:
        yield folder


@pytest.fixture(scope="session")
def stopped() -> Iterator[Path]:
    """A folder with a server that is not running, to copy."""
    with temporary_directory() as folder:
        embedded.start(folder)
        embedded.stop(folder)
        yield folder


@pytest.fixture
def installed(fresh: Path, stopped: Path) -> Path:
    """A folder with a server that is not running."""
    return copied(stopped, fresh)


@pytest.fixture
def server(installed: Path) -> Iterator[str]:
    """The URL of a server of the test's own: roles belong to all databases of one."""
    url = embedded.start(installed)
    try:
        yield url
    finally:
        embedded.stop(installed)


@pytest.fixture(scope="session")
def protected(template: Database) -> Iterator[Database]:
    """A migrated database without a gap, which no test changes for good."""
    with temporary_database(template.name) as clone:
        asyncio.run(keep_set_config_from_public(clone))
        yield clone


@pytest.fixture
def own_protected(database: Database) -> Database:
    """One of the test's own."""
    asyncio.run(keep_set_config_from_public(database))
    return database


@pytest.fixture(params=["pool", "no pool"])
async def engine(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[PartmanEngine]:
    """The application's, with a pool of one, and without a pool."""
    async with in_use(tenants.engine(), monkeypatch, pool=request.param == "pool") as engine:
        yield engine


@pytest.fixture(scope="session")
def sample_template(template: Database) -> Iterator[Database]:
    """The sample, on a server where the migrations have made the roles."""
    with temporary_database() as database:
        execute(database.url, *SAMPLE)
        yield database


@pytest.fixture
def sample(sample_template: Database) -> Iterator[Database]:
    """A copy of the sample."""
    with temporary_database(sample_template.name) as database:
        yield database


@pytest.fixture(scope="session")
def expected(sample_template: Database) -> Catalog:
    """The catalog of the sample."""
    with temporary_database(sample_template.name) as database:
        return read(database.url)


@pytest.fixture
def story(empty_database: Database) -> Database:
    """The story's database, as init.sql and the application have left it."""
    execute(empty_database.url, *STORY)
    return empty_database
