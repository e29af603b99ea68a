"""The access log: one line for each request, without anything that could be a secret."""

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("partman.access")

_QUIET = ("/health/", "/metrics")
"""Prefixes of paths that are not logged, because programs request them all the time."""


class AccessLog:
    """Logs who requested what, the status, and the duration.

    Query strings, headers and cookies are left out, because each may contain a token. The path is
    logged as it was sent, with every control character encoded.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on, and log it when it ends."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        # The status if the application fails: the server then answers 500.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        began = time.perf_counter()

        async def watched(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            _log(scope, status, (time.perf_counter() - began) * 1000)


def _log(scope: "Scope", status: int, milliseconds: float) -> None:
    path = scope["raw_path"].decode("latin-1")
    if path.startswith(_QUIET):
        return
    client = scope["client"][0] if scope["client"] else "-"
    logger.info(
        "%s %s %s %d %.1f ms",
        client,
        scope["method"],
        path,
        status,
        milliseconds,
        extra={
            "client": client,
            "method": scope["method"],
            "path": path,
            "status": status,
            "milliseconds": round(milliseconds, 1),
        },
    )
