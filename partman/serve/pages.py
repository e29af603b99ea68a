"""Render HTML pages: templates, their common values, and the style sheet.

Scripts and styles are files in ``static/``, so the Content-Security-Policy can forbid all others. A
page works without its scripts, which only save a reader a click.
"""

import functools
import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from partman.plan.model import size_in_words
from partman.wording import abbreviated, counted

_HERE = Path(__file__).parent

STATIC = Mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
"""The route of styles and scripts."""

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def render(
    request: Request,
    template: str,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Return a page.

    A template that extends ``base.html`` gets the values it needs: ``account``, the person signed
    in (``.name``, ``.operator``, ``.tenant``) or None; ``tenants`` (``.noun``, ``.path``); and
    ``csrftoken`` for its forms. A variable that is not passed is an error.
    """
    text = (
        environment()
        .get_template(template)
        .render(
            {
                "account": getattr(request.state, "account", None),
                "tenants": getattr(request.state, "tenants", None),
                "csrftoken": request.scope.get("csrftoken") or request.cookies.get("csrftoken", ""),
                "path": request.url.path,
                "now": datetime.now(UTC),
            }
            | context
        )
    )
    return HTMLResponse(text, status_code, headers)


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago it was, in the largest unit that fits at least once."""
    seconds = (now - moment).total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{counted(count, unit)} ago"
    return "just now"


def utc(moment: datetime) -> str:
    """Return a time in UTC; a time without a time zone is returned unchanged."""
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(moment: datetime) -> str:
    """Return the time of day in UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"


def day(of: date) -> str:
    """Return a day as people write it."""
    return f"{of:%A}, {of.day} {of:%B %Y}"


def took(duration: timedelta) -> str:
    """Return a duration with about three digits."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60):,} min {seconds % 60:.0f} s"


@functools.cache
def static(name: str) -> str:
    """Return the URL of a file in ``static/``, which changes with the content."""
    content = (_HERE / "static" / name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"


@functools.cache
def environment() -> Environment:
    """Return the templates with their filters."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static
    environment.filters |= {
        "abbreviated": abbreviated,
        "ago": ago,
        "clock": clock,
        "counted": counted,
        "size": size_in_words,
        "day": day,
        "took": took,
        "utc": utc,
    }
    return environment
