"""The facts of the pages as JSON, under /api/."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from partman.audit import project_audit
from partman.catalog.read import read_live_catalog
from partman.diagram.entities import DRAWN, Entity, entities
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import Status, read_status
from partman.migration.ledger.timeline import Timeline, read_timeline
from partman.serve.migrations.activity import Activity, read_activity
from partman.serve.migrations.reports import Kind, Reports
from partman.serve.probes.health import readiness_facts

Endpoint = Callable[[Request], Awaitable[Response]]


async def index(_: Request) -> Response:
    """Return what there is."""
    return _answer({"paths": list(_PATHS)})


async def timeline_json(request: Request) -> Response:
    """Return all migrations and runs, with the keys of ``status`` and ``history --json``."""
    timeline = await _timeline(request)
    facts = timeline.facts | {"expected": timeline.expected, "history": _runs(timeline)}
    return _answer(facts)


async def migration(request: Request) -> Response:
    """Return one migration and its runs."""
    timeline, key = await _timeline(request), _key(request)
    facts = next((item.facts for item in timeline.items if item.migration.key == key), None)
    if facts is None:
        raise HTTPException(404, f"There is no migration {key.id} of the app {key.app}.")
    return _answer(facts | {"history": _runs(timeline, key)})


async def migration_plan(request: Request) -> Response:
    """Return what the last plan has on one migration."""
    plan, key = reports_of(request).standing(Kind.PLAN), _key(request)
    status: Status = await request.app.state.reader.ask(read_status)
    made = plan.report
    for each in made.facts["migrations"] if made and made.facts else ():
        if MigrationKey(each["app"], each["id"]) == key:
            assert made is not None
            outdated = plan.is_outdated(status)
            return _answer({"made_at": made.made_at, "outdated": outdated, **each})
    raise HTTPException(
        404, f"No plan has {key.id} of the app {key.app}. Make a plan with: POST /api/plan"
    )


async def report(request: Request) -> Response:
    """Return the last plan or drift report, and whether one is being made."""
    status: Status = await request.app.state.reader.ask(read_status)
    return _answer(reports_of(request).standing(kind_of(request)).facts_with_report(status))


async def request_report(request: Request) -> Response:
    """Start a plan or drift report."""
    kind, reports = kind_of(request), reports_of(request)
    status: Status = await request.app.state.reader.ask(read_status)
    reports.request(kind)
    return _answer(reports.standing(kind).facts_with_report(status), 202)


async def diagram(request: Request) -> Response:
    """Return the tables with their columns, keys, references and policies."""
    return _answer({"tables": [asdict(each) for each in await entities_of(request)]})


async def activity(request: Request) -> Response:
    """Return everything that is under way; pages ask for it again and again."""
    reports = reports_of(request)
    made = {kind: reports.standing(kind).facts for kind in Kind}
    return _answer((await _activity(request)).facts | {"reports": made})


async def backfills(request: Request) -> Response:
    """Return the backfills that are under way or interrupted."""
    return _answer({"backfills": (await _activity(request)).backfill_facts})


async def rehearsals(request: Request) -> Response:
    """Return the rehearsals that copy this database."""
    return _answer({"rehearsals": (await _activity(request)).rehearsal_facts})


async def health(request: Request) -> Response:
    """Return what /health/ready does, always with status 200."""
    return _answer(readiness_facts(await request.app.state.probe.readiness()))


_PATHS: Mapping[str, Endpoint] = {
    "/api/migrations": timeline_json,
    "/api/migrations/{app}/{id}": migration,
    "/api/migrations/{app}/{id}/plan": migration_plan,
    "/api/plan": report,
    "/api/drift": report,
    "/api/diagram": diagram,
    "/api/activity": activity,
    "/api/backfills": backfills,
    "/api/rehearsals": rehearsals,
    "/api/health": health,
}


def routes(middleware: Sequence[Middleware]) -> list[Route]:
    """Return the routes; ``middleware`` admits only people who may see the whole database.

    The application's state has what pages.routes() needs, and the Probe in ``probe``.
    """
    return [
        Route("/api", index, middleware=middleware),
        *(Route(path, endpoint, middleware=middleware) for path, endpoint in _PATHS.items()),
        *(
            Route(f"/api/{kind}", request_report, methods=["POST"], middleware=middleware)
            for kind in Kind
        ),
    ]


def reports_of(request: Request) -> Reports:
    """Return the reports of the service."""
    reports: Reports = request.app.state.reports
    return reports


def kind_of(request: Request) -> Kind:
    """Return the kind of report that a path ends with."""
    return Kind(request.url.path.rpartition("/")[2])


async def entities_of(request: Request) -> tuple[Entity, ...]:
    """Read the tables of the live database."""
    ask, audit = request.app.state.reader.ask, project_audit()
    # To read all of it takes three to five times as long.
    catalog = await ask(partial(read_live_catalog, only=DRAWN))
    if audit is None:
        return entities(catalog, None, ())
    return entities(catalog, audit.tenancy, await ask(audit.isolated_tables))


async def _timeline(request: Request) -> Timeline:
    found: Timeline = await request.app.state.reader.ask(read_timeline)
    return found


async def _activity(request: Request) -> Activity:
    found: Activity = await request.app.state.reader.ask(read_activity)
    return found


def _key(request: Request) -> MigrationKey:
    return MigrationKey(request.path_params["app"], request.path_params["id"])


def _runs(timeline: Timeline, key: MigrationKey | None = None) -> list[dict[str, Any]]:
    """Return the runs, of one migration if it is named, oldest first."""
    runs = (run for run in timeline.runs if key is None or run.key == key)
    return [run._asdict() | {"duration": run.seconds} for run in runs]


def _answer(facts: object, status_code: int = 200) -> Response:
    text = json.dumps(facts, default=str, indent=2)
    return Response(text, status_code, media_type="application/json")
