"""Folders for the tests of the embedded server, and databases for those of the audit."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.database import embedded
from tests.database.audit_support import keep_set_config_from_public
from tests.database.embedded_helpers import copied, temporary_directory
from tests.support import Database, temporary_database


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
