"""The migrations page and its reports, served in the process of the tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.types import ASGIApp

from partman.migration.ledger.readiness import Watch
from partman.serve.migrations import api, pages
from partman.serve.migrations.reports import TIMEOUT, Reports
from partman.serve.probes.health import Probe
from partman.serve.reader import Reader
from partman.settings import Settings
from tests.faults.processes import DEADLINE, wait_until
from tests.serve.page import Page
from tests.support import Database, as_role, execute
from tests.tenants import login_role


@dataclass(frozen=True)
class Service:
    """The pages, requested in this process by an operator."""

    app: ASGIApp
    portal: BlockingPortal
    """Runs coroutines in the service's loop."""

    def ask(self, method: str, path: str) -> httpx.Response:
        return self.portal.call(self._ask, method, path)

    async def _ask(self, method: str, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    def page(self, path: str = "/migrations") -> Page:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return Page(answer.text)

    def request(self, kind: str) -> None:
        asked = self.ask("POST", f"/migrations/{kind}")
        assert (asked.status_code, asked.headers["Location"]) == (303, f"/migrations/{kind}")

    def made(self, kind: str) -> Page:
        """Create a report and return its page."""
        self.request(kind)
        path = f"/migrations/{kind}"
        wait_until(lambda: not self.json("/api/activity")["reports"][kind]["busy"], "it was made")
        return self.page(path)

    def json(self, path: str, status: int = 200) -> Any:
        """Return the facts of an answer."""
        answer = self.ask("GET", path)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    def wait_for(self, kind: str, text: str) -> None:
        wait_until(lambda: text in self.page(f"/migrations/{kind}").text, f"it says {text!r}")


@contextmanager
def serving(url: str, timeout: float = TIMEOUT) -> Iterator[Service]:
    reader = Reader(Settings.load({"DATABASE_URL": url}))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.reader, app.state.reports = reader, Reports("server", timeout)
        app.state.probe = Probe(reader, Watch())
        yield
        async with asyncio.timeout(DEADLINE):
            await app.state.reports.close()
        await reader.close()

    app = Starlette(routes=[*pages.routes([]), *api.routes([])], lifespan=lifespan)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Service(app, portal)


@contextmanager
def login(database: Database, *may: str) -> Iterator[str]:
    """The URL of a role that reads the database."""
    with login_role() as name:
        execute(
            database.url,
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
            *(f"ALTER ROLE {name} {each}" for each in may),
        )
        try:
            yield as_role(database.url, name)
        finally:
            execute(database.url, f"DROP OWNED BY {name}")
