"""Many clients of many organizations at once get no error, and no row of another one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from benchmarks import example
from benchmarks.load.clients import Load, Outcome, run_clients
from benchmarks.load.data import Afterwards, fill
from benchmarks.load.run import Way, run
from tests.faults.pgbouncer import needs_pgbouncer, pgbouncer
from tests.summary import Record, count, thorough
from tests.support import Database, as_role

CLIENTS, ORGANIZATIONS, REQUESTS = (200, 50, 5_000) if thorough() else (24, 6, 120)
SERVERS = 3
"""Connections to the server."""


@pytest.fixture(params=["pool", pytest.param("pgbouncer", marks=needs_pgbouncer)])
def way(
    request: pytest.FixtureRequest, database: Database, application_role: str, tmp_path: Path
) -> Iterator[Way]:
    application = Database(as_role(database.url, application_role))
    if request.param == "pool":
        yield Way(application.url, "none", SERVERS)
        return
    setting = f"default_pool_size = {SERVERS}"
    with pgbouncer(application, tmp_path, "transaction", setting) as url:
        yield Way(url, "transaction", 4 * SERVERS)


@pytest.mark.parametrize("cancelled", [0, 0.2])
async def test_no_client_sees_an_error_or_a_row_of_another_organization(
    database: Database, way: Way, cancelled: float, record_property: Record
) -> None:
    partners = await fill(database.url, ORGANIZATIONS)
    left = iter(range(REQUESTS))
    load = Load(CLIENTS, cancelled, goes_on=lambda: next(left, None) is not None)
    outcome, afterwards = await run(database.url, way, partners, load)
    assert outcome.errors == {}
    assert outcome.foreign == []
    assert afterwards == Afterwards(foreign=0, lost=0)
    assert bool(outcome.cancelled) == bool(cancelled)
    assert outcome.answered + outcome.cancelled == CLIENTS + REQUESTS
    count(record_property, transactions=outcome.answered, leaks=len(outcome.foreign))
    table = example.render([example.Measured("here", outcome, afterwards)])
    assert f"| {outcome.answered:,} |" in table


async def test_a_leak_and_an_error_would_be_noticed() -> None:
    async def leaking(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await receive()
        answer: Any = [{"name": "org-2: somebody's"}]
        if scope["path"] == "/sign-in":
            answer = {"token": "t"}
        if scope["path"] == "/opportunities":
            answer = {"next": None, "opportunities": answer}
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    left = iter(range(200))
    load = Load(clients=1, goes_on=lambda: next(left, None) is not None)
    outcome = await run_clients(leaking, {"org-1": uuid4()}, load)
    assert set(outcome.foreign) == {"org-2: somebody's"}
    assert any("POST /partners: 200" in error for error in outcome.errors)
    assert not example.Measured("it", outcome, Afterwards(0, 0)).is_clean
    assert not example.Measured("it", Outcome(), Afterwards(1, 0)).is_clean
    assert not example.Measured("it", Outcome(), Afterwards(0, 1)).is_clean
    assert example.Measured("it", Outcome(), Afterwards(0, 0)).is_clean
