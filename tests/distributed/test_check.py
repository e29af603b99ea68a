"""check asks the nodes too: what a worker or a shard lacks is a gap."""

import asyncio
import json
from urllib.parse import urlsplit

import asyncpg
import pytest

from partman.audit import project_audit
from tests.distributed.cluster import Cluster
from tests.distributed.test_drift import BY_HAND
from tests.support import execute, fetch, run

# Whether it is a gap that PUBLIC may connect depends on the logins of the whole server.
COMMAND = ("partman", "check", "--ignore", "models", "--ignore", "login-connect")


def test_a_distributed_database_has_no_gaps(distributed: Cluster) -> None:
    ended = run(*COMMAND, environment=distributed.database.environment)
    assert ended.code == 0, ended.output
    assert "6 tenant tables" in ended.stdout
    assert "no gaps" in ended.stdout


@pytest.mark.parametrize(
    ("node", "statement", "undo", "objects"),
    [
        (
            1,
            "GRANT EXECUTE ON FUNCTION run_command_on_workers TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION run_command_on_workers FROM PUBLIC",
            ["PUBLIC at "],
        ),
        (
            0,
            "CREATE POLICY only_active ON users AS RESTRICTIVE TO partman_app USING (is_active)",
            "DROP POLICY only_active ON users",
            ["only_active ON public.users"],
        ),
    ],
    ids=["a worker's right", "a restrictive policy, which opens"],
)
def test_what_opens_a_node_is_a_gap(
    distributed: Cluster, node: int, statement: str, undo: str, objects: list[str]
) -> None:
    execute(distributed.nodes[node].url, statement)
    ended = run(*COMMAND, "--json", environment=distributed.database.environment)
    execute(distributed.nodes[node].url, undo)
    assert ended.code == 1, ended.output
    gaps = [gap for gap in json.loads(ended.stdout)["isolation"]["gaps"] if gap["rule"] == "nodes"]
    assert len(gaps) == len(objects)
    for gap, name in zip(gaps, objects, strict=True):
        assert gap["object"].startswith(name), gap


def test_a_table_with_an_open_shard_is_not_called_isolated(distributed: Cluster) -> None:
    async def isolated() -> set[str]:
        connection = await asyncpg.connect(distributed.database.url)
        try:
            audit = project_audit()
            assert audit is not None
            return await audit.isolated_tables(connection)
        finally:
            await connection.close()

    before, worker = asyncio.run(isolated()), distributed.nodes[2]
    [row] = asyncio.run(
        fetch(
            distributed.database.url,
            "SELECT shard_name('users'::regclass, min(shardid)) AS name FROM pg_dist_shard"
            " JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)"
            f" WHERE logicalrelid = 'users'::regclass AND nodeport = {urlsplit(worker.url).port}",
        )
    )
    change = f"{BY_HAND} ALTER TABLE {row['name']} {{}} ROW LEVEL SECURITY"
    execute(worker.url, change.format("DISABLE"))
    after = asyncio.run(isolated())
    execute(worker.url, change.format("ENABLE"))
    assert before - after == {"public.users"}
    assert len(after) == 5
