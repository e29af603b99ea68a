"""`partman plan` says what an empty scratch database cannot show, and what it says is true."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests import shared
from tests.database.plan_rows_sample import CASES, CONFLICTS, LIVE, ROWS, TABLES
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import execute, temporary_database


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Project]:
    """A project whose tables are live, with rows in them, in a time zone of its own."""
    with temporary_database() as database:
        project = Project.create(tmp_path_factory.mktemp("live"), database, zygote)
        # The pending migrations are older, so none is reverted: that is not the question here.
        project.write("999", LIVE)
        assert project.forwards().code == 0
        zone = f"ALTER DATABASE {database.name} SET timezone = 'America/New_York'"
        execute(database.url, *ROWS, zone)
        yield project


@pytest.fixture(scope="module")
def plan(live: Project) -> dict[str, dict[str, Any]]:
    """Every case by its name, after one run of `partman plan` for all workers."""
    found = json.loads(shared.once("plan_of_rows", lambda: planned(live)))
    assert found["rows_seen"]
    return dict(zip(CASES, found["migrations"], strict=True))


def planned(live: Project) -> str:
    for number, case in enumerate(CASES.values(), 100):
        live.write(str(number), case.forwards, [], case.more)
    completed = live.partman("plan", "--json", "--fail-on", "loses-data")
    assert completed.code == 1, completed.output
    return completed.stdout


@pytest.mark.parametrize("name", CASES)
def test_says_what_depends_on_rows(plan: dict[str, dict[str, Any]], name: str) -> None:
    case, found = CASES[name], plan[name]
    assert (found["level"], found["error"]) == (case.level, None), found["reasons"]
    assert any(case.because in reason for reason in [*found["reasons"], ""]), found["reasons"]
    if case.level != "depends on rows" and "USING" not in case.because:
        assert not any("reads or changes" in reason for reason in found["reasons"])


def test_says_which_values_are_converted(plan: dict[str, dict[str, Any]]) -> None:
    """And in which time zone, which is that of the live database."""
    assert {name: of["conversions"] for name, of in plan.items() if of["conversions"]} == {
        "a time zone": [
            "children.at from timestamp without time zone to timestamp with time zone,"
            " as times in America/New_York"
        ],
        "a cast that is written": ["children.parent from integer to bigint"],
        "a label that rows have": ["people.mood from mood to mood"],
        "a label that no row has": ["people.mood from mood to mood"],
    }
    assert plan["a cast that is written"]["losses"] == []


async def test_a_label_that_rows_have_makes_it_fail_as_told(live: Project) -> None:
    with pytest.raises(asyncpg.InvalidTextRepresentationError, match="odd"):
        async with _running(live.database.url, CASES["a label that rows have"].forwards):
            pass


def test_a_label_that_no_row_has_is_not_told(plan: dict[str, dict[str, Any]]) -> None:
    assert not any("fails" in reason for reason in plan["a label that no row has"]["reasons"])


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Access = tuple[str, str]
"""A table, and "reads" or "writes"."""
PROBES = {"reads": "SELECT FROM {0} WHERE id = 1", "writes": "UPDATE {0} SET id = id WHERE id = 1"}


@pytest.mark.parametrize("name", CONFLICTS)
async def test_another_session_waits_as_the_plan_says(
    live: Project, plan: dict[str, dict[str, Any]], name: str
) -> None:
    """Held against a client that reads and writes a row of each table while the migration runs."""
    found = plan[name]
    predicted, changed = _locked(found), _changed(found)
    async with _running(live.database.url, CASES[name].forwards) as migration:
        waiting = {
            (table, access)
            for table in TABLES
            for access in PROBES
            if await migration.is_in_the_way_of(PROBES[access].format(table))
        }
    match found["level"]:
        case "safe live":
            assert waiting == set()
        case "brief lock" | "blocks writes" | "blocks reads" | "loses data":
            assert waiting == predicted | changed != set()
            reads = {access for _, access in waiting} == {"reads", "writes"}
            assert reads or found["level"] in ("brief lock", "blocks writes")
        case "depends on rows":
            # It changes rows that an empty database does not have.
            assert predicted | changed <= waiting
            assert {table for table, access in waiting if access == "reads"} == set()


def _locked(migration: dict[str, Any]) -> set[Access]:
    """What the locks of its statements block."""
    return {
        (lock["table"], access)
        for statement in migration["statements"]
        for lock in statement["locks"]
        for access in PROBES
        if access in lock["blocks"] and lock["index"] is None
    }


def _changed(migration: dict[str, Any]) -> set[Access]:
    """The tables with rows that stay locked until the commit."""
    return {
        (work["table"], "writes")
        for statement in migration["statements"]
        for work in statement["work"]
        if work["kind"] == "changes rows of"
    }


@asynccontextmanager
async def _running(url: str, statements: list[str]) -> AsyncIterator["Watched"]:
    """Run a migration, yield its session before it is committed, and undo it."""
    session, blocker, watcher = [await asyncpg.connect(url) for _ in range(3)]
    watched = Watched(url, session, watcher)
    try:
        if "CONCURRENTLY" in statements[0]:
            # It waits for this transaction, which has the lock of a writer.
            await blocker.execute("BEGIN; LOCK TABLE children IN ROW EXCLUSIVE MODE")
            building = asyncio.ensure_future(session.execute(statements[0]))
            assert await watched.blocks(session, building, by=blocker)
            yield watched
            await blocker.execute("ROLLBACK")
            await building
            await session.execute("DROP INDEX i")
        else:
            await session.execute("BEGIN")
            for statement in statements:
                await session.execute(statement)
            yield watched
            await session.execute("ROLLBACK")
    finally:
        for connection in (session, blocker, watcher):
            connection.terminate()


@dataclass(frozen=True)
class Watched:
    """The session of a migration, and another one that sees who waits for it."""

    url: str
    session: Connection
    watcher: Connection

    async def is_in_the_way_of(self, sql: str) -> bool:
        """Whether a statement of another client waits for it."""
        client = await asyncpg.connect(self.url)
        running = asyncio.ensure_future(client.execute(sql))
        try:
            return await self.blocks(client, running, by=self.session)
        finally:
            await self.watcher.execute(f"SELECT pg_cancel_backend({client.get_server_pid()})")
            await asyncio.gather(running, return_exceptions=True)
            client.terminate()

    async def blocks(
        self, connection: Connection, running: asyncio.Future[Any], *, by: Connection
    ) -> bool:
        """Return True when a session waits for another, False when its statement has ended."""
        asked = f"SELECT pg_blocking_pids({connection.get_server_pid()})"
        while not running.done():
            if by.get_server_pid() in await self.watcher.fetchval(asked):
                return True
            await asyncio.wait({running}, timeout=0.001)
        running.result()
        return False
