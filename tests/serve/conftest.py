"""Health and metrics without a network, also for a project in a folder of its own."""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette

from partman.migration.ledger.readiness import Watch
from partman.serve.migrations import reports
from partman.serve.people import account_base
from partman.serve.probes import health, metrics
from partman.serve.reader import Reader
from partman.settings import Settings
from tests.faults.processes import forked_scripts
from tests.project import APP, Project
from tests.serve.migrations_service import Service, serving
from tests.serve.organizations import ANN, organizations
from tests.serve.visitors import Console, Visitor, visited
from tests.support import Database, temporary_database

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """Sends requests to an application that runs in its own event loop."""

    app: Starlette
    portal: BlockingPortal
    """Runs coroutines in that loop."""

    def get(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        return self.portal.call(self.request, method, path, headers)

    async def request(self, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)

    def call(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        return self.portal.call(function, *arguments)


Serve = Callable[[str], Client]


@pytest.fixture(autouse=True)
def fast_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords in one round, as those of organizations.py are."""
    usual = account_base.AccountBase._pbkdf2_iteration_count
    nobodys = account_base._NOBODYS_HASH.replace(f"${usual}$", "$1$")
    monkeypatch.setattr(account_base, "_NOBODYS_HASH", nobodys)
    monkeypatch.setattr(account_base.AccountBase, "_pbkdf2_iteration_count", 1)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Create these parts of the service for a database, and return a client for them."""
    with ExitStack() as stack:

        def start(url: str) -> Client:
            settings = Settings.load({"DATABASE_URL": url})
            reader = Reader(settings, patience=health.PATIENCE)
            probe = health.Probe(reader, Watch())
            routes = [*health.routes(probe), *metrics.routes(probe, reader)]
            portal = stack.enter_context(start_blocking_portal())
            stack.callback(portal.call, reader.close)
            return Client(Starlette(routes=routes), portal)

        yield start


@pytest.fixture(scope="session")
def filled_template(template: Database) -> Iterator[Database]:
    """Two organizations, in a database without connections; see organizations.py."""
    with organizations(template) as database:
        yield database


@pytest.fixture
def filled_database(filled_template: Database) -> Iterator[Database]:
    """A new database with the two organizations."""
    with temporary_database(filled_template.name) as database:
        yield database


@pytest.fixture
def console(filled_database: Database) -> Iterator[Console]:
    """The service in production, with the two organizations."""
    with visited(filled_database) as running:
        yield running


@pytest.fixture(scope="module")
def shared_console(filled_template: Database) -> Iterator[Console]:
    """The same for tests that change no rows and count no sign-in attempts."""
    with temporary_database(filled_template.name) as database, visited(database) as running:
        yield running


@pytest.fixture
def ann(console: Console) -> Visitor:
    """The admin of Acme."""
    return console.signed_in(ANN)


@pytest.fixture
def reader(shared_console: Console) -> Visitor:
    """The admin of Acme, for tests that change nothing."""
    return shared_console.signed_in(ANN)


@pytest.fixture
def in_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project; this process uses its files as well."""
    monkeypatch.setenv("PICCOLO_CONF", "extra_conf")
    monkeypatch.syspath_prepend(str(project.folder))
    _forget_projects()  # imported by an earlier test
    yield project
    _forget_projects()


def _forget_projects() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in {APP, "extra_conf"}:
            del sys.modules[name]


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """partman's log, whether or not an earlier test has configured logging."""
    monkeypatch.setattr(logging.getLogger("partman"), "propagate", True)
    caplog.set_level(logging.INFO, "partman")
    return caplog


@pytest.fixture
def local_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project; this process uses its files as well."""
    for name in [name for name in sys.modules if name.partition(".")[0] == APP]:
        monkeypatch.delitem(sys.modules, name)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(project.folder)
    project.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    project.write("2026-01-02", ["CREATE TABLE two (id int)"], ["DROP TABLE two"])
    return project


@pytest.fixture
def forked_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the commands that make reports; in tests/browser they are processes of their own."""
    for name, value in forked_scripts("library").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reports, "_PARTMAN", ("partman",))


@pytest.fixture
def service(local_project: Project, forked_reports: None) -> Iterator[Service]:
    with serving(local_project.database.url) as running:
        yield running
