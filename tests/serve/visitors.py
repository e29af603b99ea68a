"""The whole service in this process, and clients that act like browsers."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp, Message

import piccolo_conf
from partman.serve.app import create_app
from partman.serve.console.project_console import ProjectConsole, project_console
from partman.serve.console.scope import TENANT
from partman.serve.console.tables import ShownTables, shown_tables
from partman.serve.people.account_base import Proven
from partman.serve.people.accounts import COOKIE, Session, session_table
from partman.serve.people.tenants import Tenants
from partman.serve.settings import ServiceSettings
from partman.settings import Settings
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession
from tests.faults.processes import DEADLINE
from tests.serve.organizations import PASSWORD, TABLES, Account, Organization
from tests.serve.page import Page
from tests.support import Database, OpenSession

HOST = "console.example.com"
SECRET = b"the secret of the tests, which is long enough"
DEPLOYED = ServiceSettings(secret=SECRET, hosts=(HOST,), secure=True)
CSRF = "csrftoken"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": ""}
ROWS = "/console/"


@dataclass(frozen=True)
class Console:
    """A service that runs in its own event loop."""

    database: Database
    app: ASGIApp
    portal: BlockingPortal
    """Runs coroutines in that loop."""
    owner: OpenSession
    """To whom no policy applies."""

    def visitor(self, **headers: str) -> "Visitor":
        """Return a visitor who has not signed in."""
        return Visitor(self, headers)

    def signed_in(self, account: Account, organization: UUID | None = None) -> "Visitor":
        """Return a visitor who has signed in; an operator may have chosen an organization."""
        visitor = self.visitor()
        visitor.cookies[COOKIE] = self.session(account, organization)
        return visitor

    def session(
        self,
        account: Account,
        organization: UUID | None = None,
        *,
        secret: bytes = SECRET,
        lasts: timedelta = timedelta(minutes=50),
        at_most: timedelta = timedelta(hours=9),
    ) -> str:
        """Return the token of a new session."""
        now = datetime.now()
        sessions = sessions_with(secret)
        stored = self.value("SELECT password FROM console_accounts WHERE id = $1", account.id)
        proven = Proven(account.id, stored)

        async def begin() -> str:
            return (await sessions.create_session(proven, now + lasts, now + at_most)).token

        token: str = self.portal.call(begin)
        if organization is not None:
            self.query(
                "UPDATE console_sessions SET organization_id = $2 WHERE token = $1",
                sessions.keyed(token),
                organization,
            )
        return token

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Query as the owner."""
        return self.owner.ask(sql, *arguments)

    def waits_for_a_lock(self) -> bool:
        return "Lock" in {state for _, state in self.sessions()}

    def somebody_waits(self) -> bool:
        return bool(
            self.query(
                "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database()"
            )
        )

    def sessions(self) -> list[tuple[str, str | None]]:
        """Return the states of the service's sessions, and what they wait for."""
        rows = self.query(
            "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND application_name = 'partman'"
        )
        return [(row["state"], row["wait_event_type"]) for row in rows]

    def value(self, sql: str, *arguments: Any) -> Any:
        [row] = self.query(sql, *arguments)
        return row[0]


@dataclass
class Visitor:
    """A browser: it keeps cookies. What is no form has the CSRF token in a header."""

    console: Console
    headers: dict[str, str]
    address: str = "192.0.2.1"
    cookies: dict[str, str] = field(default_factory=lambda: {CSRF: "of-this-browser"})

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send text as a form, and other values as JSON."""
        return self.ask("POST", path, body, headers)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        answer: httpx.Response = self.console.portal.call(
            self.aask, method, path, body, headers or {}
        )
        return answer

    async def aask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The same, inside the service's loop."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent: dict[Any, Any] = {  # a cookie may contain any bytes
            "Origin": f"https://{HOST}",
            "Sec-Fetch-Site": "same-origin",
            "X-CSRFToken": self.cookies.get(CSRF, ""),
            "Cookie": cookies.encode("latin-1"),
            **self.headers,
            **(headers or {}),
        }
        as_it_is = body is None or isinstance(body, bytes) or hasattr(body, "__aiter__")
        transport = httpx.ASGITransport(self.console.app, client=(self.address, 123))
        async with httpx.AsyncClient(
            transport=transport, base_url=f"https://{HOST}", timeout=DEADLINE
        ) as client:
            answer = await client.request(
                method, path, headers=sent, **{"content" if as_it_is else "json": body}
            )
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer

    def sign_in(self, address: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in on the page; the session cookie is kept."""
        return self.form("/sign-in", format="html", username=address, password=password)

    def form(self, path: str, **fields: str) -> httpx.Response:
        """Send a page's form."""
        return self.send_form(path, list(fields.items()))

    def send_form(self, path: str, fields: Iterable[tuple[str, str]]) -> httpx.Response:
        """Send a page's form, in which a name may be there twice."""
        answer: httpx.Response = self.console.portal.call(self.aform, path, fields)
        return answer

    async def aform(self, path: str, fields: Iterable[tuple[str, str]]) -> httpx.Response:
        """The same, inside the service's loop."""
        token = (CSRF, self.cookies[CSRF])
        body = httpx.QueryParams([token, *(each for each in fields if each[0] != CSRF)])
        return await self.aask("POST", path, str(body).encode(), FORM)

    def rows(self, table: str, filters: str = "") -> list[dict[str, str]]:
        """Return the rows of a list with all their fields, as it exports them."""
        answer = self.get(f"{ROWS}{table}.csv?{filters}")
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))

    def fields(self, path: str) -> dict[str, str]:
        """Return what a browser sends of a form that nobody has changed."""
        answer = self.get(ROWS + path)
        assert answer.status_code == 200, answer.text
        return Page(answer.text).fields()

    def filled(self, path: str, **changes: str) -> list[tuple[str, str]]:
        """Return what a browser sends of a form in which somebody has changed something."""
        return list((self.fields(path) | changes).items())

    def save(self, path: str, **changes: str) -> httpx.Response:
        """Fill in a form and send it."""
        return self.send_form(ROWS + path, self.filled(path, **changes))

    def remove(self, table: str, *keys: object) -> httpx.Response:
        """Delete rows."""
        sent = [(TENANT, self.tenant_id), *(("row", str(key)) for key in keys)]
        return self.send_form(f"{ROWS}{table}/delete/", sent)

    @property
    def tenant_id(self) -> str:
        """The ID of the organization whose rows are shown."""
        return self.rows("organizations")[0]["id"]


def sessions_with(secret: bytes) -> type[Session]:
    """Return the sessions of a service with this secret."""
    return session_table(ConsoleSession, ConsoleAccount, secret)


def project_tenants() -> Tenants:
    """Return the tenants of this project's console."""
    return made_console().tenants


def console_tables() -> ShownTables:
    """Return the tables of this project's console."""
    return shown_tables(made_console())


def made_console() -> ProjectConsole:
    console = project_console()
    assert console is not None
    return console


def everything_of(console: Console, tenant: Organization) -> list[str]:
    """Return all rows of an organization, with every column."""
    return [
        row[0]
        for table in TABLES
        for row in console.query(
            f"SELECT to_jsonb(t)::text FROM {table} AS t"
            f" WHERE {'id' if table == 'organizations' else 'organization_id'} = $1 ORDER BY 1",
            tenant.id,
        )
    ]


@contextmanager
def visited(
    database: Database, service: ServiceSettings = DEPLOYED, url: str = "", **variables: str
) -> Iterator[Console]:
    """Run the service; ``url`` is its login's URL if it is not the owner."""
    environment = {"DATABASE_URL": url or database.url, "PARTMAN_ENV": "production", **variables}
    settings = Settings.load(environment)
    app = create_app(settings, service)
    engine = piccolo_conf.DB
    # The engine of a module's own service, which is idle in the meantime.
    outer, engine.pool = engine.pool, None
    try:
        with (
            # The one of the process names no database, which is the checkout's embedded server.
            engine.working_on(settings),
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(_running(app)),
            closing(OpenSession(database.url)) as owner,
        ):
            yield Console(database, app, portal, owner)
    finally:
        engine.pool = outer


@asynccontextmanager
async def _running(app: ASGIApp) -> AsyncIterator[None]:
    """Send the application the start and stop events of a server."""
    asked: asyncio.Queue[Message] = asyncio.Queue()
    answered: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, asked.get, answered.put))
    await asked.put({"type": "lifespan.startup"})
    begun = asyncio.create_task(answered.get())
    await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
    assert begun.done()
    assert begun.result()["type"] == "lifespan.startup.complete"
    yield
    await asked.put({"type": "lifespan.shutdown"})
    await task
