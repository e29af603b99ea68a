"""Assemble the ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from http import HTTPStatus

import asyncpg
from piccolo_api.csrf.middleware import CSRFMiddleware
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from partman.errors import PartmanError, PreflightError
from partman.migration.ledger.readiness import Watch
from partman.serve import pages
from partman.serve.console.pool import connection_pool
from partman.serve.console.project_console import ProjectConsole, project_console
from partman.serve.console.routes import routes as console_routes
from partman.serve.migrations import api as migrations_api
from partman.serve.migrations import pages as migrations_pages
from partman.serve.migrations.reports import Reports
from partman.serve.people import sign_in
from partman.serve.people.accounts import ATTEMPTS_OF_CLIENT, limit
from partman.serve.people.authentication import Authentication, SignedIn, authentication_of
from partman.serve.probes import health, metrics
from partman.serve.reader import Reader
from partman.serve.refusals import Refusals, is_for_programs
from partman.serve.security import Hardened, LastResort, asked, kind_of
from partman.serve.settings import ServiceSettings
from partman.settings import Settings

logger = logging.getLogger("partman.serve")

LARGEST_BODY = 1_000_000
"""Maximum size of a request, in bytes."""

_NO_SUCH_PAGE = "There is nothing at this address."
_NO_CONSOLE = (
    "This service has no sign-in page: no app of the project offers a console. Programs use "
    "/health/live, /health/ready and /metrics."
)


def create_app(
    settings: Settings, service: ServiceSettings | None = None, *, scratch: str = "server"
) -> ASGIApp:
    """Return the application. Raises SettingsError; connects to nothing before the first request.

    ``scratch`` is the server for a plan's scratch database, as the option of ``partman plan``.
    """
    console = project_console()
    service = service or ServiceSettings.load(settings, people=console is not None)
    people = _people(console, service) if console else None
    reader = Reader(settings)
    reports = Reports(scratch)
    # A reader of its own, so that a probe never waits for a page.
    prober = Reader(settings, patience=health.PATIENCE)
    probe = health.Probe(prober, Watch())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with connection_pool(settings, console.role) if console else nullcontext():
            yield
        await asyncio.gather(reports.close(), reader.close(), prober.close())

    app = Starlette(
        lifespan=lifespan,
        routes=[
            *health.routes(probe),
            *metrics.routes(probe, prober),
            pages.STATIC,
            *(_browser_routes(console, service, people) if console and people else ()),
        ],
        middleware=[Middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_BODY)],
        exception_handlers={
            PartmanError: _unavailable,
            # Works without a migrated database: these routes need nothing that may fail.
            asyncpg.PostgresError: _unavailable,
            asyncpg.InterfaceError: _unavailable,
            404: partial(_not_found, people),
            500: _failed,
        },
    )
    app.state.settings = settings
    app.state.reader = reader
    app.state.reports = reports
    app.state.probe = probe
    hardened = Hardened(app, secure=service.secure)
    return LastResort(Refusals(hardened, partial(_refused, people)))


def _people(console: ProjectConsole, service: ServiceSettings) -> Authentication:
    config = console.config
    return authentication_of(config.accounts, config.sessions, console.tenants, service.secret)


def _browser_routes(
    console: ProjectConsole, service: ServiceSettings, authentication: Authentication
) -> list[BaseRoute]:
    """Return the routes for browsers, which answer only under the console's own host names."""
    hosts, secure = service.hosts, service.secure
    attempts = limit(ATTEMPTS_OF_CLIENT)
    csrf = Middleware(partial(CSRFMiddleware, allowed_hosts=hosts, allow_form_param=True))
    signed_in = Middleware(SignedIn, authentication=authentication)
    operator = Middleware(SignedIn, authentication=authentication, operators_only=True)
    return [
        Mount(
            "",
            routes=[
                *sign_in.routes(authentication, attempts, csrf, secure=secure),
                *migrations_pages.routes([csrf, operator]),
                *migrations_api.routes([csrf, operator]),
                *console_routes(console, [csrf, signed_in]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        )
    ]


async def _unavailable(request: Request, error: Exception) -> Response:
    told = error if isinstance(error, PartmanError) else kind_of(error)
    logger.error("%s: %s", asked(request.scope), told)
    title, text = (
        "Unavailable",
        "The database is unavailable. The log of the service has the reason.",
    )
    if isinstance(error, PreflightError):
        title, text = "The migrations cannot be read", str(error)
    return _error(request, 503, title, text)


async def _refused(
    people: Authentication | None, request: Request, status_code: int, title: str, text: str
) -> Response:
    if people is not None:
        await people.recognize(request)
    return _error(request, status_code, title, text, has_start=people is not None)


async def _not_found(people: Authentication | None, request: Request, error: Exception) -> Response:
    text = _NO_CONSOLE if people is None else _NO_SUCH_PAGE
    if isinstance(error, HTTPException) and error.detail != HTTPStatus.NOT_FOUND.phrase:
        text = error.detail
    return await _refused(people, request, 404, "Not found", text)


async def _failed(request: Request, _: Exception) -> Response:
    text = "An internal error occurred. Nothing was changed. The service's log has the details."
    return _error(request, 500, "Internal error", text)


def _error(
    request: Request, status_code: int, title: str, text: str, *, has_start: bool = True
) -> Response:
    if is_for_programs(request.url.path):
        return JSONResponse({"error": text}, status_code)
    return pages.render(
        request,
        "error.html",
        status_code=status_code,
        title=title,
        text=text,
        has_start=has_start,
    )
