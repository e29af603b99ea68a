"""A node that is lost in the two-phase commit of a run: the outcome is one, and is told truly.

A server that waits for a standby that does not exist stops at its commit: a worker when it has
prepared the transaction, the coordinator when it has committed and the workers have only prepared.
There, a postmaster is killed, and started again.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg
import pytest

from tests.distributed.cluster import Cluster, Node
from tests.distributed.test_run_kills import (
    asked,
    others,
    project,
    undo,
    whole_or_not_at_all,
)
from tests.environment import clean_environment
from tests.faults.processes import wait_until
from tests.project import Project
from tests.summary import Record, count
from tests.support import execute, fetch

__all__ = ["project"]

# Only the commit of the migration is held up.
HELD = """
import asyncio, os, runpy, sys
import asyncpg

execute, before = asyncpg.Connection.execute, sys.argv[1]

async def held(self, sql, *arguments, **options):
    if sql == "COMMIT":
        other = await asyncpg.connect(before)
        await execute(other, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await execute(other, "SELECT pg_reload_conf()")
        while await other.fetchval("SHOW synchronous_standby_names") != "nobody":
            pass
        await other.close()
    return await execute(self, sql, *arguments, **options)

asyncpg.Connection.execute = held
sys.argv = ["partman", "migrate"]
runpy.run_module("partman", run_name="__main__")
"""
HOLD = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'"
)
PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
RELEASE = ("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
# It outlives its server, and starts it again as soon as the server's processes have ended.
RESTART = """
cat > /dev/null; cd {data} && sed -i /synchronous_standby_names/d postgresql.auto.conf || exit
(setsid sh -c "
    for each in 1 2 3 4 5 6 7 8 9; do sleep 1; {bin}/pg_ctl -D {data} -w start && exit; done
" > /dev/null 2>&1 < /dev/null &)
kill -9 $(head -n 1 postmaster.pid)
"""
CASES = (
    # Where it waits, who is lost, and whether the migration is applied afterwards.
    ("worker", "coordinator", False),
    ("worker", "the same", False),
    ("worker", "another worker", True),
    ("coordinator", "coordinator", True),
    ("coordinator", "another worker", True),
    # The coordinator has committed, and waits for the second half of a worker.
    ("both", "coordinator", True),
)


@pytest.fixture(autouse=True)
def _durable(distributed: Cluster) -> None:
    """What waits for a standby has to wait for its own disk; Citus tells the workers."""
    if any(process(node) == 1 for node in distributed.nodes):
        pytest.skip("A container's first process cannot be killed from inside.")
    url = distributed.database.url
    execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = on")


def process(node: Node) -> int:
    [row] = asyncio.run(
        fetch(node.url, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid")
    )
    return int(row["pid"])


def kill(node: Node) -> None:
    """Kill the postmaster of a node, and wait until it is started again."""
    before = started(node)
    [row] = asyncio.run(
        fetch(
            node.url,
            "SELECT current_setting('data_directory') AS data,"
            " (SELECT setting FROM pg_config WHERE name = 'BINDIR') AS bin",
        )
    )
    command = RESTART.format(**row).replace("'", "''")

    async def send() -> None:
        connection = await asyncpg.connect(node.url)
        with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
            await connection.execute(f"COPY (SELECT) TO PROGRAM '{command}'")
        connection.terminate()

    asyncio.run(send())
    wait_until(lambda: started(node) not in (None, before), "the node is back")


def started(node: Node) -> object:
    """Return when a node was started; None if it does not answer."""
    try:
        [row] = asyncio.run(fetch(node.url, "SELECT pg_postmaster_start_time() AS at"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    return row["at"]


@contextmanager
def held_run(cluster: Cluster, project: Project, holder: Node) -> Iterator["subprocess.Popen[str]"]:
    """Run the migrations; their commit waits on a node."""
    with subprocess.Popen(
        [sys.executable, "-c", HELD, holder.url],
        env=clean_environment(**project.environment),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            for node in cluster.nodes:
                if started(node):
                    execute(node.url, *RELEASE)
            running.kill()


def number(node: Node, sql: str) -> int:
    [row] = asyncio.run(fetch(node.url, sql))
    return int(row[0])


def wait_for_the_commit(holder: Node, running: "subprocess.Popen[str]") -> None:
    wait_until(
        lambda: number(holder, WAITS) or running.poll() is not None, "the commit waits or it ends"
    )
    assert running.poll() is None, running.communicate()[0]


@pytest.mark.parametrize(("waits", "lost", "is_applied"), CASES)
def test_the_outcome_is_one_and_is_told_truly(
    distributed: Cluster,
    project: Project,
    waits: str,
    lost: str,
    is_applied: bool,
    record_property: Record,
) -> None:
    coordinator, one, two = distributed.nodes
    holder = two if waits == "worker" else coordinator
    victim = {"coordinator": coordinator, "the same": two, "another worker": one}[lost]
    before = others(distributed)
    with held_run(distributed, project, holder) as running:
        wait_for_the_commit(holder, running)
        assert all(number(node, PREPARED) for node in (one, two))
        if waits == "both":
            execute(two.url, HOLD, "SELECT pg_reload_conf()")
            execute(coordinator.url, *RELEASE)
            wait_until(lambda: number(two, WAITS), "the second half waits")
        kill(victim)
        for node in distributed.nodes:
            execute(node.url, *RELEASE)
        said = running.communicate(timeout=60)[0]
    # The other node's connections to it are of its life before.
    asked(distributed, "SELECT recover_prepared_transactions()")
    assert whole_or_not_at_all(distributed) == is_applied, said
    assert others(distributed) == before
    if running.returncode == 0 or "It was committed" in said:
        assert is_applied, said
    if "rolled back" in said.replace("or rolled back", ""):
        assert not is_applied, said
    assert running.returncode in (0, 4, 7), said
    undo(distributed)
    count(record_property, kills=1)


def test_a_migration_of_one_tenants_rows_is_prepared_too(
    distributed: Cluster, project: Project
) -> None:
    """Citus itself would commit it on the tenant's node before the coordinator, with the ledger."""
    coordinator = distributed.nodes[0]
    [row] = asyncio.run(
        fetch(
            coordinator.url,
            "SELECT organization_id AS tenant, nodeport AS port FROM partners"
            " JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column("
            "'partners', organization_id) JOIN pg_dist_node USING (groupid) LIMIT 1",
        )
    )
    [holder] = [node for node in distributed.nodes if f":{row['port']}/" in node.url]
    project.write(
        "1", [f"UPDATE partners SET name = name || '!' WHERE organization_id = '{row['tenant']}'"]
    )
    with held_run(distributed, project, holder) as running:
        wait_for_the_commit(holder, running)
        assert number(holder, PREPARED)
        kill(coordinator)
        for node in distributed.nodes:
            execute(node.url, *RELEASE)
        running.communicate(timeout=60)
    asked(distributed, "SELECT recover_prepared_transactions()")
    recorded = "SELECT count(*) FROM migration WHERE app_name = 'extra'"
    changed = "SELECT count(*) FROM partners WHERE name ~ '!'"
    assert (asked(distributed, recorded), asked(distributed, changed)) == ((0,), (0,))
