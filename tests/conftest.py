"""One server a session, one cloned database a test.

The tests run on the embedded server, or on the one that PARTMAN_TEST_DATABASE_URL names: its
role must be allowed to create databases and roles, and to bypass row level security.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.faults.processes import Zygote, running_zygote
from tests.project import Project
from tests.summary import pytest_terminal_summary  # noqa: F401 -- a hook, for all of xdist
from tests.support import SERVER_VARIABLE, Database, as_role, execute, migrate, temporary_database
from tests.tenants import Tenants, login_role

_own_server: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Start the server once, in the process that the xdist workers are children of."""
    global _own_server
    if os.environ.get(SERVER_VARIABLE) or hasattr(config, "workerinput"):
        return
    _own_server = Path(tempfile.mkdtemp(prefix="partman-", dir=_memory()))
    from partman.database import embedded

    url = embedded.start(_own_server)
    _do_not_wait_for_the_disk(url)
    os.environ[SERVER_VARIABLE] = url


def pytest_unconfigure() -> None:
    if _own_server is not None:
        from partman.database import embedded

        embedded.stop(_own_server)
        shutil.rmtree(_own_server)


def _memory() -> Path | None:
    """A file system in memory, if there is one with room for a server; containers have 64 MB."""
    memory = Path("/dev/shm")  # noqa: S108 -- a private directory is made in it
    enough = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return memory if enough else None


def _do_not_wait_for_the_disk(url: str) -> None:
    superuser = as_role(url, "postgres")
    execute(
        superuser,
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET full_page_writes = off",
        # DROP DATABASE WITH (FORCE) may not end an autovacuum worker.
        "ALTER SYSTEM SET autovacuum = off",
        "SELECT pg_reload_conf()",
    )


@pytest.fixture(scope="session")
def template() -> Iterator[Database]:
    """A migrated database that nobody is connected to."""
    with temporary_database() as database:
        migrate(database)
        yield database


@pytest.fixture
def database(template: Database) -> Iterator[Database]:
    """A fresh, migrated database."""
    with temporary_database(template.name) as clone:
        yield clone


@pytest.fixture
def empty_database() -> Iterator[Database]:
    """A fresh database with nothing in it."""
    with temporary_database() as fresh:
        yield fresh


@pytest.fixture
def other_database() -> Iterator[Database]:
    """A second one, to compare with."""
    with temporary_database() as fresh:
        yield fresh


@pytest.fixture
async def connection(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to ``database``."""
    connected = await asyncpg.connect(database.url)
    try:
        yield connected
    finally:
        await asyncio.wait_for(connected.close(), timeout=10)


@pytest.fixture(scope="session")
def application_role(template: Database) -> Iterator[str]:
    """What an application logs in as: it has the rights of partman_api, and no others."""
    with login_role("partman_api") as name:
        yield name


@pytest.fixture
def stranger(database: Database) -> Iterator[str]:
    """The URL of a role that logs in and has no rights at all."""
    with login_role() as name:
        yield as_role(database.url, name)


@pytest.fixture
async def tenants(database: Database, application_role: str) -> Tenants:
    """Two organizations, with a partner each."""
    two = Tenants(database, as_role(database.url, application_role))
    for organization, name in ((two.first, "first"), (two.second, "second")):
        await two.as_owner(
            "INSERT INTO organizations (id, name, subdomain) VALUES ($1, $2, $2)",
            organization,
            name,
        )
        await two.add_partner(organization, f"partner of the {name}")
    return two


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Starts commands in a few milliseconds."""
    with running_zygote() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, empty_database: Database, zygote: Zygote) -> Project:
    """An app with no migrations yet, on an empty database, in production."""
    return Project.create(tmp_path, empty_database, zygote)
