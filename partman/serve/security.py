"""Security headers of every response, and checks of every request."""

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("partman.serve")

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer: it makes a form's Origin "null", which CSRF protection needs.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_STATIC = "/static/"
_YEAR = 31_536_000


class Hardened:
    """Adds the security headers, and rejects requests that another site makes a browser send."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._harden(message, scope["path"])
            await send(message)

        if _from_another_site(scope):
            refusal = PlainTextResponse("Another site sent this request. Nothing was done.", 403)
            await refusal(scope, receive, hardened)
            return
        await self._app(scope, receive, hardened)

    def _harden(self, message: MutableMapping[str, Any], path: str) -> None:
        headers = MutableHeaders(raw=message["headers"])
        if path.startswith(_STATIC):
            headers.setdefault(
                "Cache-Control", "no-cache"
            )  # kept for comparison, to see whether the cookie is new
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self._secure:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
            message["headers"] = [_with_secure_cookie(*header) for header in headers.raw]


class LastResort:
    """Logs errors that nothing else has caught, without data: an error may quote a row."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; a failed one has been answered before."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s: %s\n%s", asked(scope), kind_of(error), frames)  # noqa: TRY400


def kind_of(error: Exception) -> str:
    """Return the kind of an error without its message, which may quote a row or a value."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__} ({error.sqlstate})"
    return type(error).__name__


def asked(scope: Scope) -> str:
    """Return the request for the log: the path as it was sent, in which nothing breaks a line."""
    return f"{scope['method']} {scope['raw_path'].decode('latin-1')}"


def _from_another_site(scope: Scope) -> bool:
    """Whether the browser reports a request from another site that would change something.

    Over plain HTTP, browsers send no Sec-Fetch-Site, but an Origin.
    """
    if scope["method"] in _SAFE_METHODS:
        return False
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        return True
    origin = headers.get("origin")
    return origin is not None and not _is_of_host(origin, headers.get("host", ""))


def _is_of_host(origin: str, host: str) -> bool:
    """Whether an Origin header names the host that was asked; "null" does not.

    A proxy may leave the port out of the Host header.
    """
    try:
        sender, asked_host = urlsplit(origin), urlsplit(f"//{host}")
        same_port = asked_host.port is None or sender.port == asked_host.port
    except ValueError:
        return False
    return same_port and sender.hostname is not None and sender.hostname == asked_host.hostname


def _with_secure_cookie(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Add the Secure attribute to Piccolo's CSRF cookie, which has none."""
    if name == b"set-cookie" and b"; secure" not in value.lower():
        value += b"; Secure"
    return name, value
