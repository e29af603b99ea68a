"""check asks the nodes too: what a worker or a shard lacks is a gap."""

import json

import pytest

from tests.distributed.cluster import Cluster
from tests.support import execute, run

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
