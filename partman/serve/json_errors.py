"""Errors as JSON, for paths that programs ask for."""

import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JSON = "application/json"


def is_for_programs(path: str) -> bool:
    """Whether a path answers with JSON, its errors included."""
    return path in {"/api", "/migrations.json"} or path.startswith("/api/")


class JsonErrors:
    """Turns the short texts with which libraries refuse a request into ``{"error": ...}``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not is_for_programs(scope["path"]):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        text = b""

        async def as_json(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start":
                if _is_text(message):
                    start = message
                    return
            elif start is not None:
                text += message.get("body", b"")
                if message.get("more_body"):
                    return
                message = {**message, "body": _error(text.decode(errors="replace"))}
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Type"] = _JSON
                headers["Content-Length"] = str(len(message["body"]))
                await send({**start, "headers": headers.raw})
            await send(message)

        await self._app(scope, receive, as_json)


def _is_text(start: Message) -> bool:
    """Whether it is an error in another form than JSON."""
    kind = MutableHeaders(raw=start["headers"]).get("content-type", "")
    return start["status"] >= 400 and not kind.startswith(_JSON)


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()
