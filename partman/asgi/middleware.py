"""The middleware that serves each request in a ``tenant()`` block, and answers after its commit."""

import json
import logging
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from partman.asgi.finding import Find, RefusedError
from partman.asgi.types import App, Message, Receive, Scope, Send
from partman.database.engine import project_engine
from partman.database.pool import borrowing_for
from partman.errors import DatabaseUnavailableError, InvalidTenantIdError, TenancyError
from partman.tenant import TenantId, tenant
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import parse_tenant_id

if TYPE_CHECKING:
    from partman.tenant.transaction import TenantTransaction

logger = logging.getLogger("partman.asgi")

_KEY = "partman.tenant"
"""Where the scope has the tenant."""


def tenant_of(scope: Scope) -> TenantId:
    """Return the tenant of a request or a WebSocket, as TenantMiddleware has found it.

    A WebSocket has no block of its own, since it may be open for hours: enter one for each message,
    ``async with tenant(tenant_of(websocket.scope))``. Raises TenancyError without the middleware.
    """
    try:
        found: TenantId = scope[_KEY]
    except KeyError:
        raise TenancyError(
            "tenant_of() was called for a request without a tenant. Nothing was run. Serve its "
            "path through TenantMiddleware, and not as one of its outside paths."
        ) from None
    return found


class TenantMiddleware:
    """Serves each HTTP request in a ``tenant()`` block of its tenant.

    The whole request is received first, so that a slow client does not occupy a connection. The
    response begins after the commit: what it reports is saved. So the block is over when a body is
    streamed and in background tasks, whose queries need blocks of their own. A response with a
    status of ``undone_from`` or more rolls back, as does an exception.

    * ``find`` returns the tenant's ID, or None for an unknown one: 404. See ``by_subdomain()``.
    * Requests to the ``outside`` paths, and below them, are served without a tenant.
    * ``largest_body`` is the size in bytes above which a request is refused with 413.
    * ``engine`` is piccolo_conf's, unless another is given.

    The answer is 503, with Retry-After, while the pool is full or the database is unavailable.
    """

    def __init__(
        self,
        app: App,
        find: Find,
        *,
        outside: Collection[str] = (),
        undone_from: int = 400,
        largest_body: int = 10_000_000,
        engine: TenantEngine | None = None,
    ) -> None:
        self._app = app
        self._find = find
        self._outside = tuple(path.rstrip("/") for path in outside)
        self._undone_from = undone_from
        self._largest_body = largest_body
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket, or the lifespan."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        engine = self._engine or project_engine(TenantEngine)
        with engine.forgetting_ended_block():
            if self._is_outside(scope):
                await self._app(scope, receive, send)
            elif scope["type"] == "http":
                await self._serve(engine, scope, receive, send)
            else:
                await self._serve_websocket(engine, scope, receive, send)

    def _is_outside(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return any(path == each or path.startswith(f"{each}/") for each in self._outside)

    async def _serve(
        self, engine: TenantEngine, scope: Scope, receive: Receive, send: Send
    ) -> None:
        response = _Response(send, self._undone_from)
        try:
            scope[_KEY] = await self._found(engine, scope)
            receive = await self._received(receive)
            await self._in_block(engine, scope, receive, response)
        except RefusedError as refused:
            if response.begun:
                raise
            await _answer(send, refused.status, refused.detail, refused.headers)
        except DatabaseUnavailableError as error:
            if response.begun or not error.transient:
                raise
            logger.warning("%s: %s", _named(scope), error)
            seconds = max(1, math.ceil(engine.settings.pool_wait))
            await _answer(
                send, 503, "The database is busy; try again.", {"Retry-After": str(seconds)}
            )

    async def _in_block(
        self, engine: TenantEngine, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        block = tenant(scope[_KEY], engine=engine)
        with borrowing_for(_named(scope)):
            await block.__aenter__()
        response.block = block
        try:
            await self._app(scope, receive, response.send)
        except BaseException as error:
            await block.end(error)
            raise
        else:
            await block.end(None if response.begun else _NoResponseError())
        finally:
            block.leave()

    async def _serve_websocket(
        self, engine: TenantEngine, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            scope[_KEY] = await self._found(engine, scope)
        except (RefusedError, DatabaseUnavailableError) as error:
            logger.warning("%s: %s", _named(scope), error)
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await self._app(scope, receive, send)

    async def _found(self, engine: TenantEngine, scope: Scope) -> TenantId:
        with suppress(InvalidTenantIdError):
            found = await self._find(scope)
            if found is not None:
                return parse_tenant_id(found, engine.needed_tenancy.key)
        raise RefusedError(404, "Not found.")

    async def _received(self, receive: Receive) -> Receive:
        """Wait for the whole request; return a function that replays it."""
        messages: list[Message] = []
        size = 0
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
            size += len(messages[-1].get("body", b""))
            if size > self._largest_body:
                raise RefusedError(413, f"A request may have {self._largest_body} bytes.")
        waiting = iter(messages)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        return again


class _NoResponseError(Exception):
    """The application has not answered, so that the server answers with an error."""


class _UndoneError(Exception):
    """The response reports an error, so that nothing is saved."""


class _Response:
    """Ends the block when the response begins."""

    def __init__(self, send: Send, undone_from: int) -> None:
        self._send = send
        self._undone_from = undone_from
        self.block: TenantTransaction | None = None
        self.begun = False
        """Whether anything was sent."""

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start" and self.block is not None:
            failed = message["status"] >= self._undone_from
            await self.block.end(_UndoneError() if failed else None)
        self.begun = True
        await self._send(message)


def _named(scope: Scope) -> str:
    return f"{scope.get('method', 'WebSocket')} {scope['path']}"


async def _answer(send: Send, status: int, detail: str, headers: Mapping[str, str]) -> None:
    """Answer in the form of FastAPI's errors."""
    body = json.dumps({"detail": detail}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in headers.items()},
    }
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
