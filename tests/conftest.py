"""One server a run, one cloned database a test.

The tests run on the embedded server, or on the one that PARTMAN_TEST_DATABASE_URL names: its
role must be allowed to create databases and roles, and to bypass row level security.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from tests import shared
from tests.faults.processes import Zygote, running_zygotes
from tests.keeper import kept
from tests.project import Project
from tests.summary import pytest_terminal_summary  # noqa: F401 -- a hook, for all of xdist
from tests.support import (
    SERVER_VARIABLE,
    Database,
    as_role,
    execute,
    migrate,
    shared_database,
    temporary_database,
)
from tests.tenants import Tenants, login_role

_run = ExitStack()
"""What is there for all of the run, in the process that the xdist workers are children of."""


hypothesis.settings.register_profile(
    "partman",
    # Nothing depends on how busy the machine is, and the examples are the same each time.
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
hypothesis.settings.load_profile("partman")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    have_commands_hear_ctrl_c()
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    folder = shared.create_folder()
    # Where the keeper finds the servers that a test has in its folder.
    config.option.basetemp = config.option.basetemp or folder / "tmp"
    _run.enter_context(kept(folder, shared.prefix(), os.environ.get(SERVER_VARIABLE)))
    _run.enter_context(running_zygotes(folder))
    if SERVER_VARIABLE not in os.environ:
        from partman.database import embedded

        url = embedded.start(folder)
        _do_not_wait_for_the_disk(url)
        os.environ[SERVER_VARIABLE] = url


def pytest_unconfigure() -> None:
    _run.close()


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


def have_commands_hear_ctrl_c() -> None:
    """Ignore SIGINT, if it is ignored, in a way that is not handed on to commands.

    It is ignored in a run that a script has started in the background.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


@pytest.fixture(scope="session")
def template() -> Iterator[Database]:
    """A migrated database that nobody is connected to."""
    with shared_database("migrated", migrate) as database:
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
def zygote() -> Zygote:
    """Starts commands in a few milliseconds."""
    return Zygote()


@pytest.fixture
def project(tmp_path: Path, empty_database: Database, zygote: Zygote) -> Project:
    """An app with no migrations yet, on an empty database, in production."""
    return Project.create(tmp_path, empty_database, zygote)
