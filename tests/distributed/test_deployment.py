"""A database that is deployed as documented is distributed later, and looked after."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import asyncpg
import pytest

from partman.catalog.node_tables import node_differences
from tests.distributed.cluster import Cluster, cluster
from tests.support import ROOT, Database, as_role, migrate, query, run

OWNER = "partman_owner"


def deployed(database: Database) -> None:
    """As docs/tenancy.md says, before anybody thinks of Citus."""
    _roles(database)
    migrate(Database(as_role(database.url, OWNER)))
    _roles(database)
    seeds = Database(as_role(database.url, "partman_seed"))
    assert run("partman", "seed", "dev", environment=seeds.environment).code == 0


def _roles(database: Database) -> None:
    psql = shutil.which("psql")
    assert psql
    passwords = {f"PARTMAN_{kind}_PASSWORD": "p" for kind in ("OWNER", "API", "SEED", "CONSOLE")}
    subprocess.run(
        [psql, "--no-psqlrc", "--file", str(ROOT / "docker" / "roles.sql"), database.url],
        env={**os.environ, **passwords},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def late() -> Iterator[Cluster]:
    with cluster(deployed) as made:
        yield made


def drift(made: Cluster, role: str) -> str:
    database = replace(made.database, url=as_role(made.database.url, role))
    ended = run("partman", "drift", "--scratch", "embedded", environment=database.environment)
    assert ended.code == 0, ended.output
    return ended.stdout


def test_it_is_distributed_with_a_limited_owner(late: Cluster) -> None:
    environment, before = late.database.environment, late.contents()
    owner = {**environment, "DATABASE_URL": as_role(late.database.url, OWNER)}
    refused = run("partman", "distribute", environment=owner)
    assert refused.code == 10, refused.output
    assert "It is no superuser" in refused.stderr
    done = run("partman", "distribute", environment=environment)
    assert done.code == 0, done.output
    assert late.contents() == before
    assert "no difference" in drift(late, "postgres")
    assert "no difference" in drift(late, OWNER)
    checked = run("partman", "check", "--ignore", "models", environment=owner)
    assert checked.code == 0, checked.output


async def test_a_large_tenant_gets_a_node_of_its_own(late: Cluster) -> None:
    """With the statements of docs/scale.md; the policies go with the rows."""
    connection = await asyncpg.connect(late.database.url)
    try:
        tenant = await connection.fetchval("SELECT organization_id FROM users LIMIT 1")
        shard = await connection.fetchval(
            f"SELECT isolate_tenant_to_new_shard('users', '{tenant}', 'CASCADE',"
            " shard_transfer_mode => 'block_writes')"
        )
        at = await connection.fetchrow(
            "SELECT nodename, nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)"
            f" WHERE shardid = {shard}"
        )
        assert at is not None
        to = await connection.fetchrow(
            "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 AND nodeport <> $1",
            at["nodeport"],
        )
        assert to is not None
        await connection.execute(
            f"SELECT citus_move_shard_placement({shard}, '{at['nodename']}', {at['nodeport']},"
            f" '{to['nodename']}', {to['nodeport']}, shard_transfer_mode => 'block_writes')"
        )
        assert await node_differences(connection) == ()
    finally:
        await connection.close()


def test_it_comes_back_with_its_owner(late: Cluster) -> None:
    before = late.contents()
    done = run("partman", "undistribute", environment=late.database.environment)
    assert done.code == 0, done.output
    assert late.contents() == before
    assert "no difference" in drift(late, OWNER)
    owners = query(
        late.database.url,
        "SELECT DISTINCT tableowner AS name FROM pg_tables WHERE schemaname = 'public'",
    )
    assert [row["name"] for row in owners] == [OWNER]
