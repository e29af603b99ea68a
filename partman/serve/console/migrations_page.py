"""The migrations page: the applied and pending migrations, reports and the diagram."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from partman.audit import project_audit
from partman.catalog.read import read_live_catalog
from partman.diagram.entities import Entity, entities
from partman.diagram.svg import svg
from partman.migration.ledger.status import Status, read_status
from partman.migration.ledger.timeline import Timeline, read_timeline
from partman.serve.console.reports import Kind, Phase, Report, Reports
from partman.serve.pages import render

Endpoint = Callable[[Request], Awaitable[Response]]

_RELOAD = 2
"""Seconds after which the page of a running report reloads."""

_PICTURE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""The picture contains its own style; it is shown in an <img> or alone."""


async def timeline(request: Request) -> Response:
    """Show all migrations, and every run."""
    return render(request, "migrations.html", timeline=await _timeline(request))


async def timeline_json(request: Request) -> Response:
    """Return the same as JSON, with the keys of ``status --json`` and ``history --json``."""
    return Response(_json(await _timeline(request)), media_type="application/json")


async def report(request: Request) -> Response:
    """Show the last plan or drift report, or that one is running."""
    kind, reports = _kind(request), _reports(request)
    phase, made = reports.phase(kind), reports.last(kind)
    status: Status = await request.app.state.reader.ask(read_status)
    # People who read slowly or use a screen reader can stop the reloading: ?reload=no.
    reloads = phase is not Phase.IDLE and request.query_params.get("reload") != "no"
    return render(
        request,
        f"{kind}.html",
        headers={"Refresh": str(_RELOAD)} if reloads else None,
        kind=kind,
        phase=phase,
        reloads=reloads,
        seconds=_RELOAD,
        report=made,
        is_outdated=made is not None and _is_outdated(kind, made, status),
        status=status,
    )


async def request_report(request: Request) -> Response:
    """Start a plan or drift report."""
    kind = _kind(request)
    _reports(request).request(kind)
    return RedirectResponse(f"/migrations/{kind}", 303)


async def diagram(request: Request) -> Response:
    """Show the tables of the live database, as a picture and as text."""
    return render(request, "diagram.html", entities=await _entities(request))


async def diagram_svg(request: Request) -> Response:
    """Return the picture."""
    picture = svg(await _entities(request))
    return Response(picture, media_type="image/svg+xml", headers=_PICTURE)


def routes(middleware: Sequence[Middleware]) -> list[BaseRoute]:
    """Return the routes; ``middleware`` admits only people who may see the whole database.

    The application's state has a Reader in ``reader`` and the Reports in ``reports``.
    """
    pages: dict[str, Endpoint] = {
        "/migrations": timeline,
        "/migrations.json": timeline_json,
        "/migrations/diagram": diagram,
        "/migrations/diagram.svg": diagram_svg,
        **{f"/migrations/{kind}": report for kind in Kind},
    }
    return [
        *(Route(path, endpoint, middleware=middleware) for path, endpoint in pages.items()),
        *(
            Route(f"/migrations/{kind}", request_report, methods=["POST"], middleware=middleware)
            for kind in Kind
        ),
    ]


def _reports(request: Request) -> Reports:
    reports: Reports = request.app.state.reports
    return reports


def _kind(request: Request) -> Kind:
    return Kind(request.url.path.rpartition("/")[2])


async def _timeline(request: Request) -> Timeline:
    found: Timeline = await request.app.state.reader.ask(read_timeline)
    return found


async def _entities(request: Request) -> tuple[Entity, ...]:
    ask, audit = request.app.state.reader.ask, project_audit()
    catalog = await ask(read_live_catalog)
    if audit is None:
        return entities(catalog, None, ())
    return entities(catalog, audit.tenancy, await ask(audit.isolated_tables))


def _is_outdated(kind: Kind, made: Report, status: Status) -> bool:
    """Whether the applied or pending migrations have changed since the report."""
    if made.facts is None:
        return False
    if kind is Kind.DRIFT:
        then = {(each["app"], each["migration"]) for each in made.facts["applied"]}
        return then != {each.key for each in status.applied}
    pending = {each["id"] for each in made.facts["migrations"]} | set(made.facts["not_tried"])
    return (made.facts["version"], pending) != (
        status.version,
        {each.id for each in status.pending},
    )


def _json(timeline: Timeline) -> str:
    facts = timeline.facts | {
        "expected": timeline.expected,
        "history": [asdict(run) | {"duration": run.seconds} for run in timeline.runs],
    }
    return json.dumps(facts, default=str, indent=2)
