"""Tenants with integers as keys, on a cluster: their own rows, on one shard, and runs."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from partman.distribution.run import distribute
from partman.engine import PartmanEngine
from partman.isolation.logins import let_log_in
from partman.settings import Settings
from partman.tenant import shard_count, tenant
from tests.distributed.cluster import Cluster, cluster
from tests.faults.processes import Zygote
from tests.foreign import test_matrix
from tests.foreign.conftest import OpenShop, build
from tests.foreign.shops import SHOPS
from tests.project import Project
from tests.support import as_role, execute, fetch

KINDS = ("integer", "bigint", "few roles")


@dataclass(frozen=True)
class DividedShop(OpenShop):
    cluster: Cluster


@pytest.fixture(scope="module", params=KINDS)
def divided(request: pytest.FixtureRequest) -> Iterator[DividedShop]:
    shop = SHOPS[request.param]()
    with cluster() as made:
        asyncio.run(build(shop, made.database))
        owner = Settings.load({"DATABASE_URL": made.database.url, "PARTMAN_ENV": "test"})
        asyncio.run(distribute(owner, shop.tenancy, lambda _: None))
        api = shop.tenancy.roles.api
        execute(made.database.url, let_log_in(api))
        settings = Settings.load({"DATABASE_URL": as_role(made.database.url, api)})
        engine = PartmanEngine(settings=settings, tenancy=shop.tenancy)
        for table in shop.tables:
            table._meta._db = engine
        yield DividedShop(shop, made.database, engine, made)


async def test_it_has_no_gaps(divided: DividedShop) -> None:
    connection = await asyncpg.connect(divided.database.url)
    try:
        # Who may connect depends on the logins of the whole server.
        assert await divided.shop.audit.gaps(connection, {"login-connect"}) == []
    finally:
        await connection.close()


async def test_neither_tenant_reaches_the_others_rows(divided: DividedShop) -> None:
    """As on a single server: the same tests, from those that change nothing to the last."""
    one, other = divided.shop.ids
    for pair in ((one, other), (other, one)):
        await test_matrix.test_crossing_to_another_tenant_is_an_error(divided, pair)
    await test_matrix.test_outside_of_a_block_nothing_is_allowed(divided)
    await test_matrix.test_an_unset_and_an_empty_tenant_are_errors(divided)
    await test_matrix.test_each_sees_and_changes_its_own_rows_only(divided, (one, other))
    await test_matrix.test_a_deleted_row_leaves_the_tenant_of_those_that_refer_to_it(
        divided, (other, one)
    )


async def test_each_query_goes_to_one_shard(divided: DividedShop) -> None:
    shop: Any = divided.shop
    task = shop.task
    for own in shop.ids:
        async with tenant(own, engine=divided.engine):
            for query in (
                task.select(),
                task.objects(task.project),
                task.count().where(task.project._.name == "made"),
                task.exists(),
                task.update({task.title: "again"}, force=True),
                task.delete(force=True),
                shop.project.select().lock_rows("UPDATE"),
            ):
                assert await shard_count(query, engine=divided.engine) == 1, str(query)
        async with tenant(own, engine=divided.engine):
            assert await shard_count("SELECT id FROM tasks", engine=divided.engine) > 1


def test_a_migration_runs(divided: DividedShop, tmp_path: Path, zygote: Zygote) -> None:
    tenancy = divided.shop.tenancy
    project = Project.create(tmp_path, divided.database, zygote)
    isolation = "__import__('partman.isolation').isolation"
    project.configure(
        f"tenancy={isolation}.Tenancy({tenancy.table!r}, {tenancy.column!r},"
        f" {str(tenancy.key)!r}, {isolation}.{tenancy.roles!r}, {tenancy.setting!r})"
    )
    project.write(
        "1",
        [f"CREATE TABLE notes (id int PRIMARY KEY, {tenancy.column} {tenancy.key} NOT NULL)",
         "ALTER TABLE projects ADD COLUMN nick text"],
    )  # fmt: skip
    project.write("2", [], more="manager.online()\nmanager.backfill('projects', 'nick = name')")
    planned = project.partman("plan", "--scratch", "embedded")
    ended = project.partman("migrate")
    assert ended.code == 0, (planned.output, ended.output)
    rows = asyncio.run(fetch(divided.database.url, "SELECT nick = name AS same FROM projects"))
    assert [row["same"] for row in rows] == [True] * len(rows)
    [key] = asyncio.run(
        fetch(
            divided.database.url,
            "SELECT pg_get_constraintdef(oid) AS is FROM pg_constraint"
            " WHERE conrelid = 'notes'::regclass AND contype = 'p'",
        )
    )
    assert key["is"] == f"PRIMARY KEY ({tenancy.column}, id)"
    execute(divided.database.url, "DROP TABLE notes", "ALTER TABLE projects DROP COLUMN nick")
