"""partman distribute and undistribute keep the rows, the schema, and survive a kill."""

import asyncio
import subprocess
import sys

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.database.distributed import Distribution, distribution
from tests.catalog import read
from tests.distributed.cluster import Cluster
from tests.environment import clean_environment
from tests.summary import stride
from tests.support import ROOT, query, run

KILLED = """
import asyncio, os, signal, sys, threading
from partman.database.project_settings import project_settings
from partman.distribution.run import distribute
from partman.distribution.undistribute import undistribute
from partman.tables import TENANCY

direction, line, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
lines = 0

def report(text):
    global lines
    lines += 1
    if lines == line:
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(delay, kill).start() if delay else kill()

settings = project_settings()
if direction == "distribute":
    asyncio.run(distribute(settings, TENANCY, report))
else:
    asyncio.run(undistribute(settings, settings, TENANCY, report))
print(lines)
"""


def how(made: Cluster) -> Distribution | None:
    async def ask() -> Distribution | None:
        connection = await asyncpg.connect(made.database.url)
        try:
            return await distribution(connection)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_rows_and_schema_are_equal_before_and_after(seeded: Cluster) -> None:
    environment, before = seeded.database.environment, seeded.contents()
    schema = read(seeded.database.url)
    assert how(seeded) is None
    checked = run("partman", "distribute", "--check", environment=environment)
    assert checked.code == 0, checked.output

    done = run("partman", "distribute", environment=environment)
    assert done.code == 0, done.output
    assert seeded.contents() == before
    assert how(seeded) == Distribution(
        "organization_id",
        ("alerts", "opportunities", "partners", "quarterly_goals", "users"),
        ("organizations",),
        ("console_accounts", "console_sessions"),
    )
    for node in seeded.nodes:  # nothing of the rows stays behind on the coordinator
        local = "SET citus.override_table_visibility = off; SELECT pg_relation_size('{}') AS size"
        sizes = [query(node.url, local.format(t).split("; ")[1]) for t in ("users", "alerts")]
        assert {row["size"] for [row] in sizes} == {0}
    again = run("partman", "distribute", environment=environment)
    assert again.code == 1
    assert "is distributed already. Nothing was done" in again.stderr

    back = run("partman", "undistribute", environment=environment)
    assert back.code == 0, back.output
    assert seeded.contents() == before
    assert how(seeded) is None
    assert compare(schema, read(seeded.database.url)) == []


def kill_at(made: Cluster, direction: str, line: int, delay: float = 0) -> bool:
    """Whether the run was killed; otherwise it has ended before."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, direction, str(line), str(delay)],
        env=clean_environment(**made.database.environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode == -9


@pytest.mark.parametrize("direction", ["distribute", "undistribute"])
def test_a_killed_run_loses_nothing_and_is_completed(seeded: Cluster, direction: str) -> None:
    before, environment = seeded.contents(), seeded.database.environment
    if direction == "undistribute" and how(seeded) is None:
        assert run("partman", "distribute", environment=environment).code == 0
    # At the line itself, or some milliseconds later, in the middle of what follows.
    line, step, kills = 1, stride(15, 1), 0
    while kill_at(seeded, direction, line, line % 3 / 100):
        kills += 1
        line += step
        assert seeded.contents() == before, f"killed at line {line}"
        if (how(seeded) is not None) == (direction == "distribute"):
            break  # the switch is done, and what follows is completed by the next run
    completed = run("partman", direction, environment=environment)
    assert completed.code in (0, 1), completed.output
    assert (how(seeded) is not None) == (direction == "distribute")
    assert seeded.contents() == before
    assert seeded.prepared() == []
    assert kills >= 3
