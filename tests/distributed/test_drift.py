"""drift compares a distributed database with its own form, and looks at every node and shard."""

import asyncio
import json
from urllib.parse import urlsplit

import asyncpg
import pytest

from partman.catalog.node_tables import NodeDifference, node_differences
from tests.distributed.cluster import Cluster
from tests.support import execute, fetch, run

BY_HAND = "SET citus.enable_manual_changes_to_shards = on; SET citus.enable_ddl_propagation = off; "
MINE = "organization_id = current_setting('partman.organization_id')::uuid"
MUTANTS = (
    (
        "ALTER POLICY tenant_access ON {shard} USING (true)",
        f"ALTER POLICY tenant_access ON {{shard}} USING ({MINE})",
        "policies",
    ),
    ("CREATE POLICY more ON {shard} USING (true)", "DROP POLICY more ON {shard}", "policies"),
    (
        "DROP POLICY tenant_access ON {shard}",
        f"CREATE POLICY tenant_access ON {{shard}} TO partman_app USING ({MINE})",
        "policies",
    ),
    (
        "ALTER TABLE {shard} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {shard} ENABLE ROW LEVEL SECURITY",
        "row security",
    ),
    (
        "ALTER TABLE {shard} NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE {shard} FORCE ROW LEVEL SECURITY",
        "row security",
    ),
    ("GRANT SELECT ON {shard} TO PUBLIC", "REVOKE SELECT ON {shard} FROM PUBLIC", "privileges"),
    (
        "GRANT UPDATE (organization_id) ON {shard} TO partman_app",
        "REVOKE UPDATE (organization_id) ON {shard} FROM partman_app",
        "privileges",
    ),
    (
        "ALTER TABLE {shard} DISABLE TRIGGER USER",
        "ALTER TABLE {shard} ENABLE TRIGGER USER",
        "triggers",
    ),
    ("ALTER TABLE {shard} ADD c int", "ALTER TABLE {shard} DROP c", "columns"),
    (
        "ALTER TABLE {shard} ALTER email TYPE varchar(300)",
        "ALTER TABLE {shard} ALTER email TYPE varchar(255)",
        "columns",
    ),
    (
        "ALTER TABLE {shard} OWNER TO partman_auth",
        "ALTER TABLE {shard} OWNER TO postgres",
        "owner",
    ),
    # The table that a query of the worker itself goes through.
    (
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "row security",
    ),
    ("ALTER TABLE {shard} RENAME TO hidden", "ALTER TABLE hidden RENAME TO {shard}", "shard"),
    (
        "GRANT EXECUTE ON FUNCTION set_config TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION set_config FROM PUBLIC",
        "may call",
    ),
    (
        "GRANT EXECUTE ON FUNCTION run_command_on_workers TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION run_command_on_workers FROM PUBLIC",
        "may call",
    ),
)  # fmt: skip
"""What is done to a worker, how it is undone, and what has to be found."""


def found_in(cluster: Cluster) -> tuple[NodeDifference, ...]:
    async def ask() -> tuple[NodeDifference, ...]:
        connection = await asyncpg.connect(
            cluster.database.url, server_settings={"default_transaction_read_only": "on"}
        )
        try:
            return await node_differences(connection)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_distributed_database_has_no_drift(distributed: Cluster) -> None:
    ended = run("partman", "drift", environment=distributed.database.environment)
    assert ended.code == 0, ended.output
    assert "no difference" in ended.stdout


def test_each_change_on_a_worker_is_found(distributed: Cluster) -> None:
    worker = distributed.nodes[2]
    assert found_in(distributed) == ()
    [row] = asyncio.run(
        fetch(
            distributed.database.url,
            "SELECT shard_name('users'::regclass, min(shardid)) AS name FROM pg_dist_shard"
            " JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)"
            f" WHERE logicalrelid = 'users'::regclass AND nodeport = {urlsplit(worker.url).port}",
        )
    )
    for statement, undo, attribute in MUTANTS:
        execute(worker.url, BY_HAND + statement.format(shard=row["name"]))
        told = found_in(distributed)
        # A shard that is not there is also none that another one's key refers to.
        beside = {"keys"} if attribute == "shard" else set()
        assert {each.attribute for each in told} - beside == {attribute}, statement
        assert all(each.node in worker.url for each in told)
        execute(worker.url, BY_HAND + undo.format(shard=row["name"]))
        assert found_in(distributed) == (), undo


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_tells_of_a_node_and_of_the_coordinator(
    distributed: Cluster, as_json: bool
) -> None:
    worker, url = distributed.nodes[1], distributed.database.url
    execute(worker.url, "GRANT EXECUTE ON FUNCTION set_config TO PUBLIC")
    execute(url, "ALTER TABLE partners ADD by_hand int")
    ended = run(
        "partman",
        "drift",
        *(["--json"] if as_json else []),
        environment=distributed.database.environment,
    )
    assert ended.code == 1, ended.output
    if as_json:
        [node] = json.loads(ended.stdout)["nodes"]
        assert (node["object"], node["attribute"]) == ("PUBLIC", "may call")
    else:
        assert "PUBLIC: may call differs from the coordinator's" in ended.stdout
        assert "2 differences" in ended.stdout
    execute(url, "ALTER TABLE partners DROP by_hand")
    execute(worker.url, "REVOKE EXECUTE ON FUNCTION set_config FROM PUBLIC")
