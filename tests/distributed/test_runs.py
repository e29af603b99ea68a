"""Migrations after ``partman distribute``: nothing is lost, and new tenant tables are divided."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from partman.migration.runner import distributed_run
from partman.migration.runner.backfill import Backfill, Pace
from partman.migration.runner.division import division
from tests.distributed.cluster import Cluster
from tests.faults.processes import Zygote
from tests.project import Project
from tests.summary import Record, count
from tests.support import Completed, fetch
from tests.tenants import held

LOSSES = {
    "DELETE FROM partners": "partners: all rows were deleted",
    "DELETE FROM organizations": "opportunities: all rows were deleted",
    "TRUNCATE alerts": "alerts: all rows were deleted",
    "ALTER TABLE users DROP COLUMN email": "users.email: the column is gone",
    "DROP TABLE quarterly_goals": "quarterly_goals: the table is gone",
    "ALTER TABLE partners ALTER COLUMN name TYPE varchar(3) USING left(name, 3)": "altered values",
    "DO 'BEGIN DELETE FROM alerts; END'": "alerts: all rows were deleted",
}
UNGUARDED = """
SELECT count(*) FILTER (WHERE NOT relforcerowsecurity OR polrelid IS NULL) || ' of ' || count(*)
FROM pg_class c LEFT JOIN pg_policy ON polrelid = c.oid
WHERE relname ~ '^tasks_[0-9]+$' AND relkind = 'r'
"""


@pytest.fixture
def project(distributed: Cluster, tmp_path: Path, zygote: Zygote) -> Project:
    made = Project.create(tmp_path, distributed.database, zygote)
    made.register("partman", "extra")
    return made


def asked(cluster: Cluster, sql: str) -> list[Any]:
    return [row[0] for row in asyncio.run(fetch(cluster.database.url, sql))]


def applied(ended: Completed) -> None:
    assert ended.code == 0, ended.output


class TestARun:
    @pytest.fixture(autouse=True)
    def _gone(self, distributed: Cluster) -> Any:
        """What a test applies is not in the next one's project."""
        yield
        forgotten = "DELETE FROM migration WHERE app_name = 'extra'"
        asyncio.run(fetch(distributed.database.url, forgotten))

    def test_refuses_what_would_lose_rows(
        self, distributed: Cluster, project: Project, record_property: Record
    ) -> None:
        before = distributed.contents()
        online = "manager.online()\nmanager.add_sql({!r}, None)"
        ways = [
            (statement, says, written)
            for statement, says in LOSSES.items()
            for written in ({"forwards": [statement]}, {"more": online.format(statement)})
        ]
        for number, (statement, says, written) in enumerate(ways):
            arguments: dict[str, Any] = {"forwards": [], **written}
            file = project.write(str(number), **arguments)
            ended = project.partman("migrate")
            assert (ended.code, says in ended.output) == (11, True), (statement, ended.output)
            file.unlink()
        assert distributed.contents() == before
        assert distributed.prepared() == []
        count(record_property, cells=len(ways))

    def test_adds_a_column_and_changes_rows(self, distributed: Cluster, project: Project) -> None:
        project.write(
            "1",
            ["ALTER TABLE partners ADD COLUMN nick text NOT NULL DEFAULT ''",
             "UPDATE partners SET nick = name"],
            ["ALTER TABLE partners DROP COLUMN nick"],
        )  # fmt: skip
        applied(project.partman("migrate"))
        assert asked(distributed, "SELECT DISTINCT nick = name FROM partners") == [True]
        applied(project.backwards(PARTMAN_ALLOW_DATA_LOSS="1"))

    def test_builds_an_index_and_fills_a_column_in_portions(
        self, distributed: Cluster, project: Project
    ) -> None:
        fill = (
            "from partman.migration import Pace\n"
            "manager.online()\n"
            "manager.backfill('opportunities', 'short = left(customer_name, 3)',"
            " where='short IS NULL', pace=Pace(rows=50))"
        )
        project.write("1", ["ALTER TABLE opportunities ADD COLUMN short text"], more=fill)
        project.write(
            "2",
            ["CREATE INDEX CONCURRENTLY idx_short ON opportunities (organization_id, short)"],
            more="manager.online()",
        )
        applied(project.partman("migrate"))
        wrong = (
            "SELECT count(*) FROM opportunities WHERE short IS DISTINCT FROM left(customer_name, 3)"
        )
        assert asked(distributed, wrong) == [0]
        built = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_short'::regclass"
        assert asked(distributed, built) == [True]
        asyncio.run(fetch(distributed.database.url, "ALTER TABLE opportunities DROP COLUMN short"))

    async def test_sends_each_portion_to_one_shard(self, distributed: Cluster) -> None:
        backfill = Backfill("opportunities", "stage = stage", "stage IS NOT NULL", Pace())
        connection = await asyncpg.connect(distributed.database.url)
        divided = await division(connection, backfill, is_distributed=True)
        portion = await divided.next(None, 20)
        done = portions = 0
        while portion.end is not None:
            plan = str(await connection.fetch(f"EXPLAIN {portion.update}"))
            assert plan.count("Task Count: 1'") == plan.count("Task Count") == 1, plan
            done, portions = done + (portion.rows or 0), portions + 1
            portion = await divided.next(portion.end, 20)
        rows = await connection.fetchval("SELECT count(*) FROM opportunities")
        await connection.close()
        assert done + (portion.rows or 0) == rows
        assert 8 < portions < rows / 10

    def test_removes_an_index_that_could_not_be_built(
        self, distributed: Cluster, project: Project
    ) -> None:
        unique = "CREATE UNIQUE INDEX CONCURRENTLY twice ON opportunities (organization_id, stage)"
        project.write("1", [unique], more="manager.online()")
        ended = project.partman("migrate")
        assert ended.code == 7
        assert "Step 1 was undone, nothing of it is left" in ended.output
        assert asked(distributed, "SELECT to_regclass('twice')") == [None]

    def test_divides_a_new_tenant_table_before_its_keys_and_policies(
        self, distributed: Cluster, project: Project
    ) -> None:
        project.write(
            "1",
            ["CREATE TABLE tasks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
             " organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,"
             " partner_id uuid NOT NULL)",
             "ALTER TABLE tasks ADD CONSTRAINT tasks_partner FOREIGN KEY"
             " (organization_id, partner_id) REFERENCES partners (organization_id, id)",
             "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
             "ALTER TABLE tasks FORCE ROW LEVEL SECURITY",
             "CREATE POLICY tenant_access ON tasks TO partman_app USING"
             " (organization_id = current_setting('partman.organization_id')::uuid)",
             "GRANT SELECT ON tasks TO partman_app",
             "INSERT INTO tasks (organization_id, partner_id)"
             " SELECT organization_id, id FROM partners"],
            ["DROP TABLE tasks"],
        )  # fmt: skip
        applied(project.partman("migrate"))
        together = (
            "SELECT count(DISTINCT colocationid) FROM pg_dist_partition"
            " WHERE logicalrelid IN ('tasks'::regclass, 'partners'::regclass)"
        )
        assert asked(distributed, together) == [1]
        assert asked(distributed, "SELECT count(*) FROM tasks") == asked(
            distributed, "SELECT count(*) FROM partners"
        )
        on_workers = f"SELECT result FROM run_command_on_workers($sql${UNGUARDED}$sql$)"
        assert asked(distributed, on_workers) == ["0 of 4", "0 of 4"]
        odd = (
            "SELECT count(*) FROM pg_constraint"
            " WHERE conrelid = 'tasks'::regclass AND conname ~ '[0-9]{5}'"
        )
        assert asked(distributed, odd) == [0]
        applied(project.backwards(PARTMAN_ALLOW_DATA_LOSS="1"))
        assert asked(distributed, "SELECT to_regclass('tasks')") == [None]

    def test_lets_a_new_table_refer_to_tenant_tables_at_once(
        self, distributed: Cluster, project: Project
    ) -> None:
        """Also to itself, and to a table that the statement before has created."""
        key = "organization_id uuid NOT NULL, id uuid, PRIMARY KEY (organization_id, id)"
        project.write(
            "1",
            [f"CREATE TABLE tasks ({key}, above uuid, partner_id uuid, CONSTRAINT of_partner"
             " FOREIGN KEY (organization_id, partner_id) REFERENCES partners (organization_id, id),"
             " CONSTRAINT below FOREIGN KEY (organization_id, above) REFERENCES tasks)",
             f"CREATE TABLE steps ({key}, task uuid, CONSTRAINT of_task"
             " FOREIGN KEY (organization_id, task) REFERENCES tasks ON DELETE CASCADE)",
             "INSERT INTO tasks SELECT organization_id, id, id, id FROM partners",
             "INSERT INTO steps SELECT organization_id, id, id FROM tasks"],
            ["DROP TABLE steps", "DROP TABLE tasks"],
        )  # fmt: skip
        assert project.partman("plan").code == 0
        applied(project.partman("migrate"))
        keys = (
            "SELECT conname FROM pg_constraint JOIN pg_dist_partition ON conrelid = logicalrelid"
            " WHERE conrelid IN ('tasks'::regclass, 'steps'::regclass) AND contype = 'f' AND"
            " convalidated ORDER BY 1"
        )
        assert asked(distributed, keys) == ["below", "of_partner", "of_task"]
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            asked(distributed, f"UPDATE tasks SET partner_id = '{UUID(int=1)}'")
        assert asked(distributed, "SELECT count(*) > 0 FROM steps") == [True]
        applied(project.backwards(PARTMAN_ALLOW_DATA_LOSS="1"))

    def test_refuses_a_new_key_that_clears_columns(
        self, distributed: Cluster, project: Project
    ) -> None:
        project.write(
            "1",
            ["CREATE TABLE tasks (id uuid PRIMARY KEY, organization_id uuid NOT NULL,"
             " above uuid, UNIQUE (organization_id, id), FOREIGN KEY (organization_id, above)"
             " REFERENCES tasks (organization_id, id) ON DELETE SET NULL (above))"],
        )  # fmt: skip
        ended = project.partman("migrate")
        assert ended.code == 5
        assert "sets columns to NULL, which Citus refuses" in ended.output
        assert asked(distributed, "SELECT to_regclass('tasks')") == [None]

    def test_waits_on_no_worker_longer_than_for_a_lock(
        self, distributed: Cluster, project: Project
    ) -> None:
        shards = (
            "SELECT shard_name(logicalrelid, shardid), nodeport FROM pg_dist_shard"
            " JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)"
            " WHERE logicalrelid = 'partners'::regclass"
        )
        (shard, port), *_ = asyncio.run(fetch(distributed.database.url, shards))
        [worker] = [node for node in distributed.nodes if f":{port}/" in node.url]
        project.write("1", ["ALTER TABLE partners ADD COLUMN waits text"])
        with held(worker.url, f"SELECT FROM {shard} LIMIT 0"):
            ended = project.forwards(PARTMAN_LOCK_TIMEOUT="0.3")
        assert ended.code == 8, ended.output
        assert distributed.prepared() == []


@pytest.mark.parametrize("under_policies", [False, True])
async def test_a_change_of_one_shard_is_committed_in_two_phases(
    distributed: Cluster, monkeypatch: pytest.MonkeyPatch, under_policies: bool
) -> None:
    """Also where this role could send no statement to another shard of any divided table."""
    if under_policies:
        monkeypatch.setattr(distributed_run, "_TO_TWO_SHARDS", "SELECT NULL")
    connection = await asyncpg.connect(distributed.database.url)
    said: list[str] = []
    connection.add_log_listener(lambda _, message: said.append(str(message)))
    await connection.execute(f"{distributed_run.SESSION} SET citus.log_remote_commands = on")
    one = await connection.fetchval("SELECT organization_id::text FROM partners LIMIT 1")
    change = f"UPDATE partners SET name = name WHERE organization_id = '{one}'"
    prepares = []
    for in_two in (False, True):
        said.clear()
        async with connection.transaction():
            await connection.execute(change)
            if in_two:
                await distributed_run.commit_in_two_phases(connection)
        prepares.append(any("PREPARE TRANSACTION" in each for each in said))
    left = await connection.fetchval("SELECT to_regclass('partman_two_phases')")
    await connection.close()
    assert (prepares, left) == ([False, True], None)
