"""A run on a cluster that is killed, or loses a session, is done wholly or not at all.

So are the seeds.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.cluster import Cluster
from tests.environment import clean_environment
from tests.faults.processes import Zygote, wait_until
from tests.project import Project
from tests.summary import Record, count, stride
from tests.support import ROOT, fetch, run

STRUCK = """
import asyncio, os, runpy, signal, sys
import asyncpg

victim, number, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
workers = [each for each in sys.argv[4:] if "://" in each]
command = [each for each in sys.argv[4:] if "://" not in each]
URL = os.environ["DATABASE_URL"]
sent, tasks = 0, []

async def terminate(url, where):
    other = await asyncpg.connect(url)
    await other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")
    await other.close()

async def strike(connection):
    await asyncio.sleep(delay)
    if victim == "runner":
        os.kill(os.getpid(), signal.SIGKILL)
    if victim == "coordinator":
        await terminate(URL, f"pid = {connection.get_server_pid()}")
    for url in workers if victim == "worker" else ():
        await terminate(url, "datname = current_database() AND application_name LIKE 'citus%'")

def watched(method):
    async def send(self, sql, *arguments, **options):
        global sent
        sent += 1
        if sent == number:
            if delay:
                tasks.append(asyncio.create_task(strike(self)))
            else:
                await strike(self)
        return await method(self, sql, *arguments, **options)
    return send

for name in ("execute", "fetch", "fetchval", "fetchrow", "copy_records_to_table"):
    setattr(asyncpg.Connection, name, watched(getattr(asyncpg.Connection, name)))
sys.argv = ["partman", *command]
try:
    runpy.run_module("partman", run_name="__main__")
finally:
    print(f"sent {sent}", file=sys.stderr)
"""
FORWARDS = [
    "ALTER TABLE partners ADD COLUMN nick text",
    "UPDATE partners SET nick = name",
    "CREATE TABLE tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
    " organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE)",
    "INSERT INTO tasks (organization_id) SELECT organization_id FROM partners",
]
STATE = """
SELECT (SELECT count(*) FROM migration WHERE app_name = 'extra') AS recorded,
    (SELECT count(*) FROM pg_attribute
        WHERE attrelid = 'partners'::regclass AND attname = 'nick' AND NOT attisdropped) AS columns,
    (SELECT count(*) FROM pg_dist_partition WHERE logicalrelid::text = 'tasks') AS tables
"""
ROWS = (
    "SELECT (SELECT count(*) FROM tasks) = count(nick) AND count(nick) > 0 AS whole FROM partners"
)
RUNS = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'partman%'"


@pytest.fixture
def project(distributed: Cluster, tmp_path: Path, zygote: Zygote) -> Project:
    made = Project.create(tmp_path, distributed.database, zygote)
    made.register("partman", "extra")
    made.write("1", FORWARDS)
    return made


def asked(cluster: Cluster, sql: str) -> Any:
    [row] = asyncio.run(fetch(cluster.database.url, sql))
    return tuple(row)


def strike(
    cluster: Cluster,
    project: Project | None,
    victim: str,
    number: int,
    delay: float,
    command: tuple[str, ...] = ("migrate",),
) -> int:
    """Run a command; return how many statements were sent, or 0 if it was killed.

    ``project`` is None for the commands of this project.
    """
    workers = [node.url for node in cluster.nodes[1:]]
    ended = subprocess.run(
        [sys.executable, "-c", STRUCK, victim, str(number), str(delay), *workers, *command],
        env=clean_environment(**(project or cluster.database).environment),
        cwd=project.folder if project else ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # After it, the driver may speak of the connection that struck.
    of_the_run, _, sent = f"\n{ended.stderr}".partition("\nsent ")
    assert "Traceback" not in of_the_run, ended.stderr
    return int(sent.split()[0]) if ended.returncode != -9 else 0


def whole_or_not_at_all(cluster: Cluster) -> bool:
    """Whether the migration is applied; fails if it is half applied."""
    wait_until(lambda: asked(cluster, RUNS) == (0,), "the run's sessions have ended")
    asked(cluster, "SELECT recover_prepared_transactions()")
    state = asked(cluster, STATE)
    assert state in {(0, 0, 0), (1, 1, 1)}
    assert cluster.prepared() == []
    if state == (1, 1, 1):
        filled = asked(cluster, "SELECT count(nick) FROM partners")
        assert asked(cluster, "SELECT count(*) FROM tasks") == filled > (0,)
    return bool(state == (1, 1, 1))


def others(cluster: Cluster) -> dict[str, str]:
    """Return a digest of each table that the migration does not change."""
    return {name: digest for name, digest in cluster.contents().items() if name != "partners"}


def undo(cluster: Cluster) -> None:
    for statement in (
        "DROP TABLE IF EXISTS tasks",
        "ALTER TABLE partners DROP COLUMN IF EXISTS nick",
        "DELETE FROM migration WHERE app_name = 'extra'",
    ):
        asyncio.run(fetch(cluster.database.url, statement))


@pytest.mark.parametrize("victim", ["runner", "coordinator", "worker"])
def test_a_migration_is_whole_or_not_there(
    distributed: Cluster, project: Project, victim: str, record_property: Record
) -> None:
    before = others(distributed)
    last = strike(distributed, project, victim, 0, 0)
    assert whole_or_not_at_all(distributed)
    undo(distributed)
    # Then in the two-phase commit, whose statement is among the last.
    points = [(number, 0.0) for number in range(2, last, stride(5, 1))]
    points += [(last - late, delay / 1000) for late in range(2) for delay in (1, 4, 9, 16)]
    strikes = applied = 0
    for number, delay in points:
        strike(distributed, project, victim, number, delay)
        strikes += 1
        if whole_or_not_at_all(distributed):
            applied += 1
            undo(distributed)
        assert others(distributed) == before, (number, delay)
    assert 0 < applied < strikes
    ended = project.partman("migrate")
    assert ended.code == 0, ended.output
    assert whole_or_not_at_all(distributed)
    undo(distributed)
    count(record_property, kills=strikes)


def how_far(cluster: Cluster) -> int:
    """Return how many rows a backfill of all opportunities has recorded as done."""
    [found] = asked(
        cluster,
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM migration WHERE app_name = 'extra')"
        " THEN (SELECT count(*) FROM opportunities)"
        " ELSE (SELECT max((progress ->> 'rows')::int) FROM migration_step) END",
    )
    return int(found or 0)


@pytest.mark.parametrize("victim", ["runner", "coordinator", "worker"])
def test_a_backfill_changes_each_row_once(
    distributed: Cluster, project: Project, victim: str, record_property: Record
) -> None:
    add = "ALTER TABLE opportunities ADD COLUMN times int NOT NULL DEFAULT 0"
    asyncio.run(fetch(distributed.database.url, add))
    fill = (
        "from partman.migration import Pace\nmanager.online()\n"
        "manager.backfill('opportunities', 'times = times + 1', pace=Pace(rows=2, portion=0.001))"
    )
    project.write("1", [], more=fill)
    # Each run goes on where the one before it was struck, often in the commit of a portion.
    points = range(61, 161, stride(20, 3))
    for number in points:
        strike(distributed, project, victim, number, 0.003 * (number % 2))
        wait_until(lambda: asked(distributed, RUNS) == (0,), "the run's sessions have ended")
        asked(distributed, "SELECT recover_prepared_transactions()")
        done, most = asked(distributed, "SELECT sum(times), max(times) FROM opportunities")
        assert (done, most) == (how_far(distributed), min(1, done))
        assert distributed.prepared() == []
        if asked(distributed, STATE)[0]:  # what was struck was no session of the portions
            asyncio.run(fetch(distributed.database.url, "UPDATE opportunities SET times = 0"))
            undo(distributed)
    ended = project.partman("migrate")
    assert ended.code == 0, ended.output
    assert asked(distributed, "SELECT min(times), max(times) FROM opportunities") == (1, 1)
    asyncio.run(fetch(distributed.database.url, "ALTER TABLE opportunities DROP COLUMN times"))
    undo(distributed)
    count(record_property, kills=len(points))


@pytest.mark.parametrize("victim", ["runner", "coordinator", "worker"])
def test_seeds_are_there_as_a_whole_or_not_at_all(
    distributed: Cluster, victim: str, record_property: Record
) -> None:
    fill: tuple[str, ...] = ("seed", "dev")
    empty: tuple[str, ...] = ("seed", "clear", "--yes")
    sent = {empty: strike(distributed, None, victim, 0, 0, empty)}
    cleared = distributed.contents()
    sent[fill] = strike(distributed, None, victim, 0, 0, fill)
    # Not what was there before: the tests before this one have changed rows.
    full = distributed.contents()
    assert full != cleared
    command, strikes = empty, 0
    for early in range(0, sent[fill], stride(sent[fill] // 3, 1)):
        for delay in (0.0, 0.01):  # with it, some fall into the commit
            number = max(1, sent[command] - early)
            strike(distributed, None, victim, number, delay, command)
            wait_until(lambda: asked(distributed, RUNS) == (0,), "its sessions have ended")
            asked(distributed, "SELECT recover_prepared_transactions()")
            assert distributed.prepared() == []
            now = distributed.contents()
            assert now in (full, cleared)
            command, strikes = empty if now == full else fill, strikes + 1
    ended = run("partman", *fill, environment=distributed.database.environment)
    assert ended.code == 0, ended.output
    assert distributed.contents() == full
    count(record_property, kills=strikes)
