"""Fixtures that several database tests share: servers, samples, an application."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from partman.catalog.model import Catalog
from partman.database import embedded
from partman.engine import PartmanEngine
from tests.catalog import Connection, read, reader
from tests.database.adopt_support import STORY
from tests.database.audit_support import keep_set_config_from_public
from tests.database.catalog_sample import SAMPLE
from tests.database.new_support import declare_blog_and_shop, written_once
from tests.faults.processes import Zygote
from tests.servers import copied, temporary_directory
from tests.several_apps import SeveralApps
from tests.support import (
    Database,
    as_role,
    execute,
    server_url,
    shared_database,
    temporary_database,
)
from tests.tenants import Tenants, in_use

_HERE = f"{Path(__file__).parent}{os.sep}"
_ON_THE_TESTS_SERVER = {"template", "empty_database", "other_database"}
_ON_ITS_OWN = {"stopped", "fresh"}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests with an embedded server of their own: its version is always the same."""
    for item in items:
        if str(item.path).startswith(_HERE):
            used = set(getattr(item, "fixturenames", ()))
            if used & _ON_ITS_OWN and not used & _ON_THE_TESTS_SERVER:
                item.add_marker(pytest.mark.same_on_every_version)


@pytest.fixture
def several(tmp_path: Path, empty_database: Database) -> SeveralApps:
    """A project without apps, on an empty database, and without this project's tables."""
    return SeveralApps(tmp_path, empty_database, Zygote("library"))


@pytest.fixture
def blog_and_shop(several: SeveralApps) -> SeveralApps:
    """Two apps, without migrations."""
    declare_blog_and_shop(several)
    return several


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[SeveralApps]:
    """The two apps, with their first migrations, which are applied."""
    with written_once("blog_and_shop", declare_blog_and_shop, tmp_path) as several:
        yield several


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder without a server."""
    with temporary_directory() as folder:
        yield folder


@pytest.fixture
def installed(fresh: Path, stopped: Path) -> Path:
    """A folder with a stopped server."""
    return copied(stopped, fresh)


@pytest.fixture
def server(installed: Path) -> Iterator[str]:
    """The URL of a separate server for the test, because databases of one server share roles."""
    url = embedded.start(installed)
    try:
        yield url
    finally:
        embedded.stop(installed)


@pytest.fixture
def tablespace(database: Database) -> Iterator[str]:
    """A tablespace, for the test's database."""
    name = f"{database.name}_space"
    try:
        superuser = as_role(database.url, "postgres")
        execute(superuser, "SELECT")
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"it takes a superuser: {error}")
    execute(
        f"{superuser}&options=-c%20allow_in_place_tablespaces%3Don",
        f"CREATE TABLESPACE {name} LOCATION ''",
        f"GRANT CREATE ON TABLESPACE {name} TO PUBLIC",
    )
    try:
        yield name
    finally:
        execute(as_role(server_url(), "postgres"), f"DROP DATABASE {database.name} WITH (FORCE)")
        execute(as_role(server_url(), "postgres"), f"DROP TABLESPACE {name}")


@pytest.fixture(scope="session")
def protected(template: Database) -> Iterator[Database]:
    """A migrated database without gaps, which no test changes permanently."""
    with temporary_database(template.name) as clone:
        asyncio.run(keep_set_config_from_public(clone))
        yield clone


@pytest.fixture
def own_protected(database: Database) -> Database:
    """A separate database without gaps, for one test."""
    asyncio.run(keep_set_config_from_public(database))
    return database


@pytest.fixture(params=["pool", "no pool"])
async def engine(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[PartmanEngine]:
    """The application's engine, with a pool of one connection, and without a pool."""
    async with in_use(tenants.engine(), monkeypatch, pool=request.param == "pool") as engine:
        yield engine


@pytest.fixture(scope="session")
def sample_template(template: Database) -> Iterator[Database]:
    """The sample, on a server on which the migrations have created the roles."""
    with temporary_database() as database:
        execute(database.url, *SAMPLE)
        yield database


@pytest.fixture
def sample(sample_template: Database) -> Iterator[Database]:
    """A copy of the sample."""
    with temporary_database(sample_template.name) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session_in_sample(sample_template: Database) -> AsyncIterator[Connection]:
    """For tests in the event loop of their module: it plans the reading of a catalog only once."""
    with temporary_database(sample_template.name) as database:
        async with reader(database.url) as connection:
            yield connection


@pytest_asyncio.fixture(loop_scope="module")
async def in_sample(session_in_sample: Connection) -> AsyncIterator[Connection]:
    """A session in the sample, in a transaction that is rolled back."""
    await session_in_sample.execute("BEGIN")
    yield session_in_sample
    await session_in_sample.execute("ROLLBACK")


@pytest.fixture(scope="session")
def expected(sample_template: Database) -> Catalog:
    """The catalog of the sample."""
    with temporary_database(sample_template.name) as database:
        return read(database.url)


@pytest.fixture
def story() -> Iterator[Database]:
    """The user story's database, as created by init.sql and the application."""
    with shared_database("story", lambda database: execute(database.url, *STORY)) as database:
        yield database
