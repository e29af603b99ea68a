"""One server for each test run, one cloned database for each test.

The tests run on the embedded server, or on the server that PARTMAN_TEST_DATABASE_URL names: its
role must be allowed to create databases and roles, and to bypass row level security.
"""

import asyncio
import gc
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from tests import shared
from tests.environment import ROOT
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

pytest_plugins = ["partman.testing", "pytester", "tests.servers"]

_LONGEST = (
    "tests/test_distributions.py::",
    "tests/test_fresh_clone.py::",
    "tests/test_wheel.py::",
    "tests/foreign/test_every_command.py::",
    "tests/database/test_new_expand.py::",
    "tests/docs/test_commands.py::test_commands_do_what_is_shown",
    "tests/browser/test_accessibility.py::",
    "tests/browser/test_screenshots.py::",
    "tests/database/test_logins.py::test_the_documents_steps_end_without_a_finding",
    "tests/isolation/test_pgbouncer.py::test_no_row_leaks_through_a_transaction_pool",
    "tests/faults/test_kills.py::",
)
"""Tests of more than ten seconds, or whose resources cost as much, in the order of their run."""

_run = ExitStack()
"""Resources for the whole run, in the parent process of the xdist workers."""


hypothesis.settings.register_profile(
    "partman",
    # Results do not depend on the machine's load, and the examples are the same each time.
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
hypothesis.settings.load_profile("partman")


# Else each worker, and each process that a test starts, would compile everything anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    let_commands_receive_sigint()
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    folder = shared.create_folder()
    # For this process and the workers: what names no database must not reach the checkout's server.
    os.environ["PARTMAN_DATA_DIR"] = str(folder / "unnamed")
    # The keeper looks here for servers that a test has in its folder.
    config.option.basetemp = config.option.basetemp or folder / "tmp"
    _run.enter_context(kept(folder, shared.prefix(), os.environ.get(SERVER_VARIABLE)))
    _run.enter_context(running_zygotes(folder))
    if SERVER_VARIABLE not in os.environ:
        from partman.database import embedded

        url = embedded.start(folder)
        _configure(url)
        embedded.stop(folder)
        url = embedded.start(folder)
        os.environ[SERVER_VARIABLE] = url


def pytest_xdist_auto_num_workers() -> int | None:
    """Have three workers for two cores: a test waits for locks, timeouts and ends of processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return cores + cores // 2


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Collect without looking for garbage, and never look for it among what was collected."""
    worker = getattr(session.config, "workerinput", None)
    gc.disable()
    if worker:
        number = int(worker["workerid"].removeprefix("gw"))
        _import_in_turn(session.config, number / worker["workercount"])
    yield
    gc.freeze()
    gc.enable()


def _import_in_turn(config: pytest.Config, start: float) -> None:
    """Import the test files beginning at another one in each worker.

    So each compiles some, with its assertions, and loads what the others have compiled.
    """
    folders = [path for arg in config.args if (path := Path(arg).absolute()).is_dir()]
    files = sorted(file for folder in folders for file in folder.rglob("test_*.py"))
    first = int(len(files) * start)
    for file in files[first:] + files[:first]:
        # What cannot be imported is told when it is collected.
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is left with one when the others have ended.

    Each worker of xdist has to come to the same order.
    """
    items.sort(key=lambda item: _place(item.nodeid))


def _place(test: str) -> int:
    found = (place for place, longest in enumerate(_LONGEST) if test.startswith(longest))
    return next(found, len(_LONGEST))


def pytest_unconfigure() -> None:
    _run.close()


def _configure(url: str) -> None:
    """Set what a start of the server brings into force."""
    superuser = as_role(url, "postgres")
    execute(
        superuser,
        # Nothing waits for the disk.
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET full_page_writes = off",
        # DROP DATABASE WITH (FORCE) may not end an autovacuum worker.
        "ALTER SYSTEM SET autovacuum = off",
        "ALTER SYSTEM SET max_prepared_transactions = 10",
        # For three workers: some tests start twenty runs at once.
        "ALTER SYSTEM SET max_connections = 200",
    )


def let_commands_receive_sigint() -> None:
    """If SIGINT is ignored, ignore it in a way that commands do not inherit.

    It is ignored in a run that a script has started in the background.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


@pytest.fixture(scope="session")
def template() -> Iterator[Database]:
    """A migrated database without connections."""
    with shared_database("migrated", migrate) as database:
        yield database


@pytest.fixture
def database(template: Database) -> Iterator[Database]:
    """A new, migrated database."""
    with temporary_database(template.name) as clone:
        yield clone


@pytest.fixture
def empty_database() -> Iterator[Database]:
    """A new, empty database."""
    with temporary_database() as fresh:
        yield fresh


@pytest.fixture
def other_database() -> Iterator[Database]:
    """A second database, for comparison."""
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
    """The application's login: it has the privileges of partman_api only."""
    with login_role("partman_api") as name:
        yield name


@pytest.fixture
def stranger(database: Database) -> Iterator[str]:
    """The URL of a role that can log in and has no privileges."""
    with login_role() as name:
        yield as_role(database.url, name)


@pytest.fixture
async def tenants(database: Database, application_role: str) -> Tenants:
    """Two organizations, with one partner each."""
    two = Tenants(database, as_role(database.url, application_role))
    await two.add_organizations()
    return two


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Starts commands within milliseconds."""
    return Zygote()


@pytest.fixture
def project(tmp_path: Path, empty_database: Database, zygote: Zygote) -> Project:
    """An app without migrations, on an empty database, in production."""
    return Project.create(tmp_path, empty_database, zygote)
