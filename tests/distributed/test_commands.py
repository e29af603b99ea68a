"""The other commands on a database that ``partman distribute`` has divided."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from partman.database.cluster import ClusterState, read_cluster
from partman.migration.ledger.readiness import Readiness, Watch
from partman.serve.reader import Reader
from partman.settings import Settings
from tests.database.test_new import MIGRATIONS as MIGRATIONS_FOLDER
from tests.database.test_new import Checkout, add_tasks
from tests.distributed.cluster import TABLES, Cluster
from tests.docs.following import copy_checkout
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import MIGRATIONS, execute, fetch, query, run


@pytest.fixture
def project(distributed: Cluster, tmp_path: Path, zygote: Zygote) -> Project:
    made = Project.create(tmp_path, distributed.database, zygote)
    made.register("partman", "extra")
    made.configure("tenancy=__import__('partman.tables').tables.TENANCY")
    return made


class TestPlan:
    def planned(self, project: Project, code: int = 0) -> dict[str, Any]:
        ended = project.partman("plan", "--json")
        assert ended.code == code, ended.output
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def test_counts_rows_and_sizes_on_all_nodes(
        self, distributed: Cluster, project: Project
    ) -> None:
        project.write("1", ["DELETE FROM alerts", "UPDATE partners SET name = upper(name)"])
        found = self.planned(project)
        [row] = asyncio.run(
            fetch(distributed.database.url, "SELECT count(*) AS alerts FROM alerts")
        )
        assert found["rows_seen"]
        assert (
            f"alerts: all rows were deleted ({row['alerts']} rows)"
            in (found["migrations"][0]["reasons"])
        )
        # 8 kB is what the coordinator has, and each of the 8 shards has a page at least.
        assert min(found["sizes"].values()) > 8 * 8192

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            ("ALTER TABLE users ADD UNIQUE (email)", "cannot keep values unique"),
            ("CREATE UNIQUE INDEX one ON users (email)", "cannot keep values unique"),
            (
                "ALTER TABLE alerts ADD COLUMN by uuid, ADD FOREIGN KEY (organization_id, by)"
                " REFERENCES users (organization_id, id) ON DELETE SET NULL (by)",
                "refuses ON DELETE SET NULL of a new foreign key",
            ),
            ("CREATE TABLE notes (partner uuid, tenant uuid, FOREIGN KEY (tenant, partner)"
             " REFERENCES partners (organization_id, id))", "is not distributed cannot refer"),
            (
                "CREATE POLICY active ON users AS RESTRICTIVE TO partman_app USING (is_active)",
                "loses the word RESTRICTIVE",
            ),
            (
                "CREATE POLICY careless ON users TO partman_app USING (true)",
                "would show all rows of its own condition",
            ),
            # Which the distributed form does not have.
            (
                "ALTER TABLE users DROP CONSTRAINT users_organization_id_id_key CASCADE",
                "does not exist",
            ),
        ],
    )  # fmt: skip
    def test_says_what_the_nodes_would_refuse(
        self, project: Project, statement: str, reason: str
    ) -> None:
        project.write("1", [statement])
        assert reason in self.planned(project, 7)["migrations"][0]["error"]

    def test_lets_pass_what_a_run_can_do(self, project: Project) -> None:
        """A new tenant table gets its keys led by the tenant."""
        project.write(
            "1",
            ["CREATE TABLE tasks (id uuid PRIMARY KEY, organization_id uuid NOT NULL)",
             "ALTER TABLE users ADD COLUMN nick text, ADD UNIQUE (organization_id, nick)"],
            ["DROP TABLE tasks", "ALTER TABLE users DROP COLUMN nick"],
        )  # fmt: skip
        [migration] = self.planned(project)["migrations"]
        assert migration["error"] is None
        assert migration["reversal"]["works"]


class TestNew:
    def test_what_it_writes_is_run_and_leaves_no_drift(
        self, distributed: Cluster, tmp_path: Path
    ) -> None:
        copy_checkout(tmp_path)
        files = (tmp_path / MIGRATIONS_FOLDER).glob("*.py")
        checkout = Checkout(tmp_path, distributed.database, frozenset(f.name for f in files))
        add_tasks(checkout)
        written = checkout.new("tasks")
        assert written.code == 0, written.output
        checkout.migrate("forwards", "all")
        drift = checkout.run("partman", "drift")
        assert drift.code == 0, drift.output
        back = {"PARTMAN_ALLOW_DATA_LOSS": "1"}
        for command in (
            ["piccolo", "migrations", "backwards", "partman", checkout.first_id, "--auto_agree"],
            ["partman", "drift"],
        ):
            ended = checkout.run(*command, **(back if command[0] == "piccolo" else {}))
            assert ended.code == 0, ended.output


def adopted(cluster: Cluster, *options: str, code: int = 0) -> dict[str, Any]:
    ended = run("partman", "adopt", "--json", *options, environment=cluster.database.environment)
    assert ended.code == code, ended.output
    found: dict[str, Any] = json.loads(ended.stdout or "{}")
    return found


class TestAdopt:
    """Of a ledger without a history, and of a database without either."""

    @pytest.fixture(autouse=True)
    def _records(self, distributed: Cluster) -> Any:
        execute(distributed.database.url, "DROP TABLE IF EXISTS migration_history")
        yield
        run("partman", "adopt", environment=distributed.database.environment)
        recorded = "SELECT count(*) AS n FROM migration_history"
        assert query(distributed.database.url, recorded)[0]["n"] == len(MIGRATIONS)

    def test_compares_with_the_distributed_form(self, distributed: Cluster) -> None:
        url = distributed.database.url
        execute(url, "ALTER TABLE partners ADD COLUMN by_hand int")
        found = adopted(distributed, code=1)
        execute(url, "ALTER TABLE partners DROP COLUMN by_hand")
        assert [each["name"] for each in found["differences"]] == ["public.partners.by_hand"]
        found = adopted(distributed)
        assert found["recorded"]
        assert len(found["migrations"]) == len(MIGRATIONS)

    def test_finds_the_boundary_without_a_ledger(self, distributed: Cluster) -> None:
        execute(distributed.database.url, "DELETE FROM migration")
        found = adopted(distributed)
        assert (found["boundary"], found["recorded"]) == (MIGRATIONS[-1], True)

    def test_refuses_a_node_that_differs(self, distributed: Cluster) -> None:
        worker = distributed.nodes[1].url
        execute(worker, "GRANT EXECUTE ON FUNCTION set_config TO PUBLIC")
        ended = run("partman", "adopt", environment=distributed.database.environment)
        execute(worker, "REVOKE EXECUTE ON FUNCTION set_config FROM PUBLIC")
        assert ended.code == 1
        assert "its may call differs from the coordinator's" in ended.stderr


class TestSeed:
    def test_inserts_and_removes_rows(self, distributed: Cluster) -> None:
        before, environment = distributed.contents(), distributed.database.environment
        status = run("partman", "seed", "status", environment=environment)
        for command in (["clear", "--yes"], ["dev"], ["dev", "--reset"]):
            ended = run("partman", "seed", *command, environment=environment)
            assert ended.code == 0, ended.output
        assert run("partman", "seed", "status", environment=environment).stdout == status.stdout
        after = distributed.contents()
        assert {name: each.split()[0] for name, each in after.items()} == {
            name: each.split()[0] for name, each in before.items()
        }


class TestOrganizations:
    def test_one_is_exported_deleted_and_imported(
        self, distributed: Cluster, tmp_path: Path
    ) -> None:
        """As the operator, with all of its rows on the node that has them."""
        before, environment = distributed.contents(), distributed.database.environment
        [own] = query(distributed.database.url, LARGEST)
        [row] = query(
            distributed.database.url,
            f"SELECT subdomain FROM organizations WHERE id = '{own['id']}'",
        )
        name, file = row["subdomain"], str(tmp_path / "rows")
        for command in (
            ["export", name, file],
            ["deactivate", name],
            ["reactivate", name],
            ["delete", name, "--rows", str(own["rows"])],
            ["import", file],
        ):
            ended = run("partman", "organization", *command, environment=environment)
            assert ended.code == 0, ended.output
            if command[0] == "delete":
                [left] = query(distributed.database.url, LARGEST)
                assert left["id"] != own["id"]
        after = distributed.contents()
        # Its row has been changed, and so has the time of that.
        assert after.pop("organizations").split()[0] == before.pop("organizations").split()[0]
        assert after == before


def test_it_is_ready(distributed: Cluster) -> None:
    async def ask() -> Readiness:
        reader, watch = Reader(Settings.load({"DATABASE_URL": distributed.database.url})), Watch()
        try:
            assert await reader.ask(watch.look) == await reader.ask(watch.look)
            return await reader.ask(watch.look)
        finally:
            await reader.close()

    assert asyncio.run(ask()).reason is None


def test_status_and_metrics_show_nodes_shards_and_tenants(distributed: Cluster) -> None:
    ended = run("partman", "status", "--json", environment=distributed.database.environment)
    assert ended.code == 0, ended.output
    found = json.loads(ended.stdout)["cluster"]
    assert [node["is_coordinator"] for node in found["nodes"]] == [True, False, False]
    [row] = asyncio.run(fetch(distributed.database.url, SHARDS))
    assert sum(node["shards"] for node in found["nodes"]) == row["shards"]
    assert sum(node["bytes"] for node in found["nodes"]) == row["bytes"]
    [largest] = asyncio.run(fetch(distributed.database.url, LARGEST))
    assert found["tenants"][0].items() >= dict(largest).items()
    assert found["moves"] == {}

    async def ask(role: str) -> ClusterState | None:
        reader = Reader(Settings.load({"DATABASE_URL": role}))
        try:
            return await reader.ask(read_cluster)
        finally:
            await reader.close()

    coordinator = distributed.nodes[0]
    whole, less = (
        asyncio.run(ask(url)) for url in (coordinator.url, coordinator.as_role("partman_app"))
    )
    assert whole is not None
    assert json.loads(json.dumps(asdict(whole))) == found
    assert less is not None
    assert (less.was_asked, less.tenants) == (False, ())


SHARDS = """
SELECT (SELECT count(*) FROM pg_dist_shard JOIN pg_dist_partition USING (logicalrelid)
        WHERE partmethod = 'h') AS shards,
    (SELECT sum(citus_total_relation_size(logicalrelid)) FROM pg_dist_partition
        WHERE partmethod = 'h') AS bytes
"""
LARGEST = f"""
SELECT organization_id::text AS id, count(*) AS rows FROM ({
    " UNION ALL ".join(
        f"SELECT organization_id FROM {table}" for table in TABLES if table != "organizations"
    )
}) AS every GROUP BY 1 ORDER BY 2 DESC LIMIT 1
"""


@pytest.mark.parametrize("command", ["sql --to none --backwards", "rehearse"])
def test_what_is_of_one_server_is_refused(distributed: Cluster, command: str) -> None:
    ended = run("partman", *command.split(), environment=distributed.database.environment)
    assert ended.code == 5, ended.output
    assert "works on a single server only" in ended.stderr
