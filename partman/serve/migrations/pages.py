"""The pages about migrations: what is applied and pending, reports and the diagram."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from partman.database.cluster import read_cluster
from partman.diagram.svg import STYLE, inline_svg, svg
from partman.migration.ledger.status import read_status
from partman.serve.migrations import events, words
from partman.serve.migrations.activity import read_activity
from partman.serve.migrations.api import (
    entities_of,
    kind_of,
    reports_of,
    timeline_json,
)
from partman.serve.migrations.lock_chart import held_locks
from partman.serve.migrations.overview import RUN, overview
from partman.serve.migrations.reports import Kind, Report
from partman.serve.pages import render

Endpoint = Callable[[Request], Awaitable[Response]]

_PICTURE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""The picture contains its own style when it is opened alone."""


async def timeline(request: Request) -> Response:
    """Show what somebody has to do, what is pending, and every run."""
    activity = await request.app.state.reader.ask(read_activity)
    found = activity.timeline
    wanted, outcome = (request.query_params.get(name, "") for name in ("q", "outcome"))
    every = events.events(found)
    shown = events.matching(every, wanted, outcome)
    plan = reports_of(request).standing(Kind.PLAN)
    return render(
        request,
        "migrations.html",
        activity=activity,
        timeline=found,
        overview=overview(found),
        verdicts=_verdicts(plan.report),
        is_outdated=plan.is_outdated(found.status),
        command=RUN,
        wanted=wanted,
        outcome=outcome,
        outcomes=events.WORDS,
        number=len(shown),
        total=len(every),
        days=events.by_day(shown[: events.OPEN]),
        older=shown[events.OPEN : events.MOST],
        folded=events.by_day(shown[events.OPEN : events.MOST]),
        left_out=max(0, len(shown) - events.MOST),
        cluster=await request.app.state.reader.ask(read_cluster),
    )


async def report(request: Request) -> Response:
    """Show the last plan or drift report, or that one is being made."""
    return await _report(request, kind_of(request))


async def request_report(request: Request) -> Response:
    """Start a plan or drift report."""
    kind = kind_of(request)
    reports_of(request).request(kind)
    return RedirectResponse(f"/migrations/{kind}", 303)


async def plan_sql(request: Request) -> Response:
    """Return the pending migrations as a script for psql."""
    script = await reports_of(request).script()
    if script.sql is None:
        return await _report(request, Kind.PLAN, script.refusal)
    status = await request.app.state.reader.ask(read_status)
    return Response(
        script.sql,
        media_type="application/sql",
        headers={"Content-Disposition": f'attachment; filename="{_file_name(status.expected)}"'},
    )


async def diagram(request: Request) -> Response:
    """Show the tables of the live database, as a picture and as text."""
    entities, wanted = await entities_of(request), request.query_params.get("table", "").strip()
    found = {each.name for each in entities if wanted.casefold() in each.name.casefold()}
    return render(
        request,
        "diagram.html",
        entities=entities,
        picture=inline_svg(entities, found if wanted else ()),
        wanted=wanted,
        found=found,
    )


async def diagram_svg(request: Request) -> Response:
    """Return the picture alone."""
    picture = svg(await entities_of(request))
    return Response(picture, media_type="image/svg+xml", headers=_PICTURE)


async def diagram_css(_: Request) -> Response:
    """Return the style of the picture within a page."""
    return Response(f"#picture {{{STYLE}}}", media_type="text/css")


def routes(middleware: Sequence[Middleware]) -> list[Route]:
    """Return the routes; ``middleware`` admits only people who may see the whole database.

    The application's state has a Reader in ``reader`` and the Reports in ``reports``.
    """
    pages: dict[str, Endpoint] = {
        "/migrations": timeline,
        "/migrations.json": timeline_json,
        "/migrations/diagram": diagram,
        "/migrations/diagram.svg": diagram_svg,
        "/migrations/diagram.css": diagram_css,
        **{f"/migrations/{kind}": report for kind in Kind},
    }
    posts: dict[str, Endpoint] = {
        "/migrations/plan.sql": plan_sql,
        **{f"/migrations/{kind}": request_report for kind in Kind},
    }
    return [
        *(Route(path, endpoint, middleware=middleware) for path, endpoint in pages.items()),
        *(
            Route(path, endpoint, methods=["POST"], middleware=middleware)
            for path, endpoint in posts.items()
        ),
    ]


async def _report(request: Request, kind: Kind, refusal: str = "") -> Response:
    """Return the page of a report; ``refusal``: why there is no SQL."""
    status = await request.app.state.reader.ask(read_status)
    # After the last await: a report that arrives later must not be in the state that the page
    # tells, or the page would not look for it.
    standing = reports_of(request).standing(kind)
    return render(
        request,
        f"{kind}.html",
        status_code=422 if refusal else 200,
        path=f"/migrations/{kind}",  # of the tab, also where the SQL was asked for
        kind=kind,
        phase=standing.phase,
        state=standing.state,
        report=standing.report,
        is_outdated=standing.is_outdated(status),
        refusal=refusal,
        status=status,
        words=words,
        held_locks=held_locks,
    )


def _verdicts(plan: Report | None) -> dict[tuple[str, str], str]:
    """Return the verdict of the last plan on each migration, by app and ID."""
    if plan is None or plan.facts is None:
        return {}
    migrations: list[dict[str, Any]] = plan.facts["migrations"]
    return {(each["app"], each["id"]): words.verdict(each) for each in migrations}


def _file_name(version: str | None) -> str:
    """Return a file name that every system accepts: to-2026-01-02T10-00-00-000000.sql."""
    safe = "".join(each if each.isascii() and each.isalnum() else "-" for each in version or "")
    return f"migrations-to-{safe}.sql" if safe else "migrations.sql"
