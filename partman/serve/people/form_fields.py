"""Validate form fields, which Piccolo's password endpoints take for text without checking."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from partman.serve.people.account_base import is_storable


class TextFields:
    """Accepts a form whose fields are text, sent as a form or as JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            # The CSRF check may have read the form, and the endpoints look here first.
            scope["form"] = scope.get("form") or await _read(Request(scope, receive))
            if not _is_text(scope["form"]):
                refusal = JSONResponse({"detail": "These fields are not valid."}, 422)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _read(request: Request) -> Any:
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return await request.form()
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        return None


def _is_text(fields: Any) -> bool:
    """Whether there are fields and PostgreSQL accepts each of them."""
    if not isinstance(fields, Mapping) or not fields:
        return False
    return all(isinstance(value, str) and is_storable(value) for value in fields.values())
