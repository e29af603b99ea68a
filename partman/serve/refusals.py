"""The short texts with which libraries refuse a request: JSON for programs, a page for people."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Page = Callable[[Request, int, str, str], Awaitable[Response]]
"""Returns a page with a title and a text, for a request that has ended with a status."""

_JSON = "application/json"
_HTML = "text/html"
_REPEAT = "Open the page again, and repeat what you have done."


def is_for_programs(path: str) -> bool:
    """Whether a path answers with JSON, its errors included."""
    return path in {"/api", "/migrations.json"} or path.startswith("/api/")


class Refusals:
    """Turns short texts into ``{"error": ...}`` or, for a browser that shows it, into a page."""

    def __init__(self, app: ASGIApp, page: Page) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not (is_for_programs(scope["path"]) or _is_shown(scope)):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        text = b""

        async def told(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start":
                if _is_text(message):
                    start = message
                    return
            elif start is not None:
                text += message.get("body", b"")
                if message.get("more_body"):
                    return
                answer = await self._answer(scope, start["status"], text.decode(errors="replace"))
                message = {**message, "body": answer.body}
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Type"] = answer.headers["Content-Type"]
                headers["Content-Length"] = str(len(message["body"]))
                await send({**start, "headers": headers.raw})
            await send(message)

        await self._app(scope, receive, told)

    async def _answer(self, scope: Scope, status: int, text: str) -> Response:
        if is_for_programs(scope["path"]):
            return Response(json.dumps({"error": text}), media_type=_JSON)
        repeat = _REPEAT if status == HTTPStatus.FORBIDDEN else ""
        said = f"{text.rstrip('.')}. Nothing was changed. {repeat}".rstrip()
        return await self._page(Request(scope), status, HTTPStatus(status).phrase, said)


def _is_shown(scope: Scope) -> bool:
    """Whether a browser asks for something that it shows to a person."""
    return _HTML in Headers(scope=scope).get("accept", "")


def _is_text(start: Message) -> bool:
    """Whether it is an error in another form than JSON or a page."""
    kind = MutableHeaders(raw=start["headers"]).get("content-type", "")
    return start["status"] >= 400 and not kind.startswith((_JSON, _HTML))
