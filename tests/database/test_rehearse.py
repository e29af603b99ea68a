"""`partman rehearse` runs what is pending on a copy with rows, and measures what it does."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.catalog import catalog
from tests.faults.processes import Process, Zygote, wait_until
from tests.project import Project
from tests.shared import unique_name
from tests.support import Database, execute, query, server_url, with_database

ROWS = 2000
LIVE = [
    "CREATE TABLE parents (id int PRIMARY KEY, name text, tier varchar(20))",
    "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents, at timestamp)",
    "CREATE TABLE numbered (id serial PRIMARY KEY, label text UNIQUE)",
    "CREATE MATERIALIZED VIEW names AS SELECT name FROM parents",
]
FILLED = [
    f"INSERT INTO parents SELECT i, 'n' || i, 't' FROM generate_series(1, {ROWS}) AS i",
    "INSERT INTO children SELECT i, i, '2026-03-09 12:00' FROM generate_series(1, 300) AS i",
    "INSERT INTO numbered (label) SELECT 'l' || i FROM generate_series(1, 7) AS i",
    "REFRESH MATERIALIZED VIEW names",
]
ONLINE = """
manager.online()
manager.backfill("parents", "tier = 'gold'", "tier = 't'")
manager.add_sql("CREATE INDEX CONCURRENTLY by_tier ON parents (tier)", "DROP INDEX by_tier")
"""
SLEEP = 0.15
ENCODING = f"LATIN{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:]) % 10}"
"""By which a copy is told from the scratch databases of other workers' commands."""
OWN_FORM = (
    f"TEMPLATE template0 ENCODING '{ENCODING}' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    " STRATEGY FILE_COPY"
)
PENDING: dict[str, tuple[list[str], list[str], str]] = {
    "2 column": (
        ["ALTER TABLE parents ADD COLUMN note text"],
        ["ALTER TABLE parents DROP COLUMN note"],
        "",
    ),
    "3 rewrite": (
        ["ALTER TABLE parents ALTER COLUMN id TYPE bigint", f"SELECT pg_sleep({SLEEP})"],
        ["ALTER TABLE parents ALTER COLUMN id TYPE int"],
        "",
    ),
    "4 rows": (
        [
            "UPDATE children SET at = at + '1 day' WHERE id <= 200",
            "DELETE FROM numbered WHERE id = 2",
            "INSERT INTO numbered (label) VALUES ('new')",
        ],
        [
            "UPDATE children SET at = at - interval '1 day' WHERE id <= 200",
            "INSERT INTO numbered VALUES (2, 'l2')",
            "DELETE FROM numbered WHERE label = 'new'",
        ],
        "",
    ),
    "5 online": ([], [], ONLINE),
    "6 index": (["CREATE INDEX by_name ON parents (name)"], ["DROP INDEX by_name"], ""),
    "7 loss": (
        ["ALTER TABLE children DROP COLUMN at"],
        ["ALTER TABLE children ADD COLUMN at timestamp"],
        "",
    ),
}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> str:
    """A server of its own, unless a test run is on another version.

    A role that another test drops while a statement runs would be taken for changed by it.
    """
    newest = "SELECT current_setting('server_version_num')::int >= 180000"
    has_another = query(server_url(), newest)[0][0]
    return str(request.getfixturevalue("quiet_server")) if has_another else server_url()


@pytest.fixture(scope="module")
def live(
    server: str, tmp_path_factory: pytest.TempPathFactory, zygote: Zygote
) -> Iterator[Project]:
    """A project whose tables are live, with rows in them."""
    name = unique_name()
    database = Database(with_database(server, name))
    try:
        execute(server, f"CREATE DATABASE {name} {OWN_FORM}")
        project = Project.create(tmp_path_factory.mktemp("live"), database, zygote)
        project.write("1", LIVE)
        assert project.forwards().code == 0
        execute(database.url, *FILLED)
        for name, (forwards, backwards, more) in PENDING.items():
            project.write(name.split()[0], forwards, backwards, more)
        yield project
    finally:
        execute(server, f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def rehearsal(live: Project) -> dict[str, Any]:
    before = (catalog(live.database.url), rows(live.database), copies(live.database))
    completed = live.partman("rehearse", "--json")
    assert completed.code == 0, completed.output
    now = (catalog(live.database.url), rows(live.database), copies(live.database))
    assert now == before, "it only reads, and leaves nothing behind"
    found: dict[str, Any] = json.loads(completed.stdout)
    return found


def rows(database: Database) -> list[tuple[Any, ...]]:
    tables = ("parents", "children", "numbered", "migration", "migration_history")
    return [
        tuple(row.values())
        for table in tables
        for row in query(database.url, f"SELECT * FROM {table} ORDER BY 1")
    ]


def copies(database: Database) -> set[str]:
    sql = (
        "SELECT datname FROM pg_database"
        f" WHERE datname ~ '^partman_scratch' AND pg_encoding_to_char(encoding) = '{ENCODING}'"
    )
    return {row["datname"] for row in query(database.url, sql)}


def of(rehearsal: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in rehearsal["migrations"] if each["id"] == name.split()[0])


def counts(migration: dict[str, Any]) -> list[dict[str, tuple[int, ...]]]:
    """Of each statement: inserted, updated, deleted and rewritten rows, by table."""
    kinds = ("inserted", "updated", "deleted", "rewritten")
    return [
        {of["table"]: tuple(of[kind] for kind in kinds) for of in statement["rows"]}
        for statement in migration["statements"]
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2 column", [{}]),
        ("3 rewrite", [{"parents": (0, 0, 0, ROWS), "children": (0, 0, 0, 0)}, {}]),
        (
            "4 rows",
            [{"children": (0, 200, 0, 0)}, {"numbered": (0, 0, 1, 0)}, {"numbered": (1, 0, 0, 0)}],
        ),
        ("5 online", [{"parents": (0, ROWS, 0, 0)}, {}]),
        ("6 index", [{"parents": (0, 0, 0, 0)}]),
        ("7 loss", [{}]),
    ],
)
def test_counts_rows_exactly(
    rehearsal: dict[str, Any], name: str, expected: list[dict[str, tuple[int, ...]]]
) -> None:
    assert counts(of(rehearsal, name)) == expected


def test_gives_each_a_verdict_with_times(rehearsal: dict[str, Any]) -> None:
    rewrite = of(rehearsal, "3 rewrite")
    assert rewrite["level"] == "blocks reads"
    assert rewrite["blocked_reads"].keys() == {"parents", "children"}
    # The lock is held to the end of the transaction, and so while it sleeps.
    assert rewrite["blocked_reads"]["parents"] > SLEEP
    assert rewrite["reasons"][0].startswith("reads and writes of parents blocked for ")
    assert of(rehearsal, "5 online")["statements"][0]["portions"] > 1
    assert of(rehearsal, "5 online")["statements"][1]["transactional"] is False
    assert of(rehearsal, "6 index")["blocked_reads"] == {}
    assert of(rehearsal, "6 index")["blocked_writes"].keys() == {"parents"}


def test_tells_what_the_guard_finds(rehearsal: dict[str, Any]) -> None:
    loss = {"what": "children.at", "how": "the column is gone", "rows": 300}
    assert of(rehearsal, "7 loss")["losses"] == [loss]
    assert of(rehearsal, "7 loss")["level"] == rehearsal["level"] == "loses data"
    assert of(rehearsal, "6 index")["losses"] == []


def test_reverts_and_runs_again_with_rows_in_place(rehearsal: dict[str, Any]) -> None:
    assert {each["id"]: each["back"]["works"] for each in rehearsal["migrations"]} == {
        **dict.fromkeys("234567", True)
    }, [each["back"]["why"] for each in rehearsal["migrations"] if each["back"]["works"] is False]


def test_writes_wal_and_grows(rehearsal: dict[str, Any]) -> None:
    [rewrite, sleep] = of(rehearsal, "3 rewrite")["statements"]
    assert rewrite["wal"] > ROWS * 20
    assert rewrite["growth"] > 0
    assert sleep["growth"] == 0


async def test_names_whom_a_client_is_blocked_by(live: Project, rehearsal: dict[str, Any]) -> None:
    """The same statements on the database itself: a client waits where the rehearsal says so."""
    probes = {
        "blocked_reads": "SELECT FROM {} LIMIT 1",
        "blocked_writes": "UPDATE {} SET id = id WHERE id = 7",
    }
    for name in ("2 column", "3 rewrite", "6 index"):
        worker = await asyncpg.connect(live.database.url)
        client = await asyncpg.connect(live.database.url)
        try:
            await client.execute("SET lock_timeout = 50")
            async with opened(worker, PENDING[name][0]):
                for kind, probe in probes.items():
                    blocked = set()
                    for table in ("parents", "children", "numbered"):
                        try:
                            await client.execute(probe.format(table))
                        except asyncpg.LockNotAvailableError:
                            blocked.add(table)
                    assert blocked == of(rehearsal, name)[kind].keys(), (name, kind)
        finally:
            client.terminate()
            worker.terminate()


@asynccontextmanager
async def opened(
    connection: "asyncpg.Connection[asyncpg.Record]", statements: list[str]
) -> AsyncIterator[None]:
    """Run statements in a transaction that is rolled back after the block."""
    await connection.execute("BEGIN")
    for statement in statements:
        await connection.execute(statement)
    yield
    await connection.execute("ROLLBACK")


@pytest.mark.same_on_every_version
def test_prints_the_same_for_people_and_for_a_comment(live: Project) -> None:
    condition = f"blocks-writes>{round(SLEEP * 1000)}ms"
    text = live.partman("rehearse", "--forwards-only", "--fail-on", condition)
    assert text.code == 1, text.output
    for said in (
        "blocks reads  3",
        "reads and writes of parents blocked for",
        "access exclusive on parents for",
        f"parents: {3 * ROWS:,} rows read, {ROWS:,} rows rewritten",
        "children.at: the column is gone (300 rows)",
        "loses data  6 migrations rehearsed at version 1\n",
    ):
        assert said in text.stdout
    markdown = live.partman(
        "rehearse", "--forwards-only", "--format", "markdown", "--fail-on", "blocks-writes>1h"
    )
    assert markdown.code == 0, markdown.output
    assert "| `3` | 🔴 blocks reads |" in markdown.stdout
    assert "### 6 migrations rehearsed: ⛔ loses data" in markdown.stdout


@pytest.fixture
def rehearsing(live: Project) -> Iterator[Process]:
    """A rehearsal that has a copy, and whose last migration does not end."""
    file = live.write("8", ["SELECT pg_sleep(600)"])
    running = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = $1"
    before = copies(live.database)
    process = live.zygote.start("partman", "rehearse", environment=live.environment)
    try:
        wait_until(
            lambda: any(
                query(live.database.url, running, copy) for copy in copies(live.database) - before
            ),
            "it runs the last migration on its copy",
        )
        yield process
    finally:
        file.unlink()


@pytest.mark.same_on_every_version
def test_leaves_nothing_behind_when_it_is_interrupted(live: Project, rehearsing: Process) -> None:
    during = copies(live.database)
    os.kill(rehearsing.pid, signal.SIGINT)
    completed = rehearsing.wait()
    assert completed.code == 130, completed.output
    assert not copies(live.database) & during


@pytest.mark.same_on_every_version
def test_leaves_nothing_behind_after_a_kill(live: Project, rehearsing: Process) -> None:
    rehearsing.kill()
    assert rehearsing.wait().code == -signal.SIGKILL
    left = copies(live.database)
    assert left
    assert live.partman("drift").code == 0
    assert not copies(live.database) & left
