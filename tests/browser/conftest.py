"""One Chromium for each worker; a database, a service and visitors for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from seeds.load import seed
from tests.browser.chromium import EXECUTABLE, MISSING, chromium
from tests.browser.projects import ProjectServing, ProjectSite, serving_project
from tests.browser.site import HASH, MARK, PLAN, Organization, Site, add_accounts, serving
from tests.browser.watching import Visitors, visitors_of
from tests.faults.processes import Zygote
from tests.support import Database, execute, query, temporary_database

HERE = f"{Path(__file__).parent}{os.sep}"

_MARKED = (
    ("organizations", "name", "id"),
    ("users", "last_name", "organization_id"),
    ("partners", "name", "organization_id"),
    ("opportunities", "customer_name", "organization_id"),
    ("alerts", "title", "organization_id"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the documents' pictures anew")
    parser.addoption("--weights", action="store_true", help="weigh the pages for the documents")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests in one event loop, because the browser belongs to it."""
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if EXECUTABLE is None:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def service_zygote() -> Zygote:
    """Starts a service quickly."""
    return Zygote("service")


@pytest.fixture(scope="session")
def seeded(template: Database) -> Iterator[Database]:
    """Two organizations with rows, an admin of each, and an operator."""
    with temporary_database(template.name) as database:
        asyncio.run(_seed(database))
        first, second = organizations_of(database)
        execute(
            database.url,
            f"UPDATE users SET password_hash = '{HASH}'",
            *(
                f"UPDATE {table} SET {column} = {column} || ' {MARK}' WHERE {key} = '{second.id}'"
                for table, column, key in _MARKED
            ),
        )
        add_accounts(database, first.id, second.id)
        yield database


@pytest.fixture(scope="session")
def organizations(seeded: Database) -> tuple[Organization, Organization]:
    return organizations_of(seeded)


@pytest.fixture
def first(organizations: tuple[Organization, Organization]) -> Organization:
    return organizations[0]


@pytest.fixture
def second(organizations: tuple[Organization, Organization]) -> Organization:
    return organizations[1]


@pytest.fixture
def site(seeded: Database, service_zygote: Zygote) -> Iterator[Site]:
    """A service in development, on a database that the test may change."""
    with temporary_database(seeded.name) as database, serving(service_zygote, database) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(browser: Browser, site: Site, tmp_path: Path) -> AsyncIterator[Visitors]:
    async with visitors_of(browser, site.url, tmp_path) as watched:
        yield watched


@pytest_asyncio.fixture(loop_scope="session")
async def page(visitors: Visitors) -> Page:
    """A blank page of a new visitor."""
    return await visitors.new()


@pytest.fixture
def project_serving() -> ProjectServing:
    """How project_site serves; some tests have another service."""
    return serving_project


@pytest.fixture
def project_site(
    seeded: Database, service_zygote: Zygote, project_serving: ProjectServing, tmp_path: Path
) -> Iterator[ProjectSite]:
    """A service in production, of a project whose migrations the test writes."""
    folder = tmp_path / "project"
    with (
        temporary_database(seeded.name) as database,
        project_serving(folder, database, service_zygote) as running,
    ):
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def project_visitors(
    browser: Browser, project_site: ProjectSite, tmp_path: Path
) -> AsyncIterator[Visitors]:
    async with visitors_of(browser, project_site.site.url, tmp_path) as watched:
        yield watched


@pytest_asyncio.fixture(loop_scope="session")
async def project_page(project_visitors: Visitors) -> Page:
    return await project_visitors.new()


def organizations_of(database: Database) -> tuple[Organization, Organization]:
    rows = query(database.url, "SELECT id, name, subdomain FROM organizations ORDER BY id")
    one, two = (Organization(*row) for row in rows)
    return one, two


async def _seed(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        await seed(connection, PLAN)
    finally:
        await connection.close()
