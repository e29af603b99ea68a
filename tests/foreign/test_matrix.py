"""Two tenants of a project with other names, keys and roles: neither reaches the other's rows."""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from partman.errors import (
    InvalidTenantIdError,
    PermissionDeniedError,
    TenantColumnError,
    TenantNestingError,
)
from partman.tenant import current_tenant, tenant
from tests.foreign.conftest import OpenShop

pytestmark = pytest.mark.same_on_every_version

Block = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture(params=[0, 1], ids=["first", "second"])
def pair(open_shop: OpenShop, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A tenant, and the other one."""
    ids = open_shop.shop.ids
    return ids[request.param], ids[1 - request.param]


def _new_row(open_shop: OpenShop, table: Any, owner: Any, **values: Any) -> Any:
    """A row of a tenant, with a key of its own where the database makes none."""
    key = table._meta.primary_key
    if key.__class__.__name__ == "Text":
        values[key._meta.name] = f"new {uuid4()}"
    values[open_shop.shop.tenancy.attribute] = owner
    return table(**values)


async def test_each_sees_and_changes_its_own_rows_only(
    open_shop: OpenShop, pair: tuple[Any, Any]
) -> None:
    shop, (own, other), engine = open_shop.shop, pair, open_shop.engine
    theirs = await open_shop.id_of("tasks", other)
    reference = shop.tenancy.attribute
    async with tenant(own, engine=engine) as transaction:
        assert current_tenant(engine=engine) == own == transaction.tenant_id
        assert [row["id"] for row in await shop.workspace.select()] == [own]
        for table in (shop.project, shop.task):
            assert await table.select(table._meta.columns[1]).output(as_list=True) == [own]
        assert await shop.task.count().where(shop.task.id == theirs) == 0
        await shop.task.update({shop.task.title: "changed"}, force=True)
        await shop.task.delete(force=True).where(shop.task.id == theirs)
        made = _new_row(open_shop, shop.task, own, title="mine", project=None, parent=None)
        await made.save()
        made.title = "saved again"
        await made.save()
    column = shop.tenancy.column
    rows = await open_shop.as_owner(f"SELECT {column} AS owner, title FROM tasks ORDER BY title")
    assert sorted((row["owner"] == own, row["title"]) for row in rows) == [
        (False, "made"),
        (True, "changed"),
        (True, "saved again"),
    ]
    assert getattr(made, reference) == own


async def test_crossing_to_another_tenant_is_an_error(
    open_shop: OpenShop, pair: tuple[Any, Any]
) -> None:
    shop, (own, other), engine = open_shop.shop, pair, open_shop.engine
    column, table = shop.tenancy.column, shop.tenancy.table
    their_project = await open_shop.id_of("projects", other)
    task = shop.task
    crossing = _new_row(open_shop, task, own, title="x", project=their_project)
    forbidden, refused = asyncpg.InsufficientPrivilegeError, asyncpg.ForeignKeyViolationError
    attempts: list[tuple[type[Exception], Block]] = [
        (forbidden, lambda: _new_row(open_shop, task, other, title="stolen").save().run()),
        (refused, lambda: crossing.save().run()),
        (refused, lambda: task.update({task.project: their_project}, force=True).run()),
        (PermissionDeniedError, lambda: task.raw("SELECT set_config('a.b', '1', true)").run()),
        *(
            (TenantColumnError, lambda sql=sql: task.raw(sql).run())
            for sql in (
                f"UPDATE tasks SET {column} = {column}",
                "UPDATE tasks SET id = id",
                f"UPDATE {table} SET name = name",
            )
        ),
        *(
            (forbidden, lambda sql=sql: task.raw(sql).run())
            for sql in (
                f"DELETE FROM {table}",
                f"INSERT INTO {table} SELECT * FROM {table}",
                "TRUNCATE tasks",
                "CREATE TEMPORARY TABLE tasks (id int)",
            )
        ),
    ]  # fmt: skip
    for error, attempt in attempts:
        with pytest.raises(error):
            async with tenant(own, engine=engine):
                await attempt()
    assert len(await open_shop.as_owner("SELECT FROM tasks WHERE title = 'made'")) == 2


async def test_a_deleted_row_leaves_the_tenant_of_those_that_refer_to_it(
    open_shop: OpenShop, pair: tuple[Any, Any]
) -> None:
    shop, (own, _) = open_shop.shop, pair
    async with tenant(own, engine=open_shop.engine):
        await shop.project.delete(force=True)
        [task] = await shop.task.select(shop.task.project, shop.task._meta.columns[1])
    assert set(task.values()) == {None, own}


async def test_outside_of_a_block_nothing_is_allowed(open_shop: OpenShop) -> None:
    for table in open_shop.shop.tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await table.count()


async def test_an_unset_and_an_empty_tenant_are_errors(open_shop: OpenShop) -> None:
    tenancy = open_shop.shop.tenancy
    connection = await asyncpg.connect(open_shop.database.url)
    try:
        await connection.execute(f"SET ROLE {tenancy.roles.app}")
        for setting in ("SELECT 1", f"SET {tenancy.setting} = ''"):
            await connection.execute(setting)
            for table in open_shop.shop.tables:
                with pytest.raises(asyncpg.PostgresError, match=r"unrecognized|invalid input"):
                    await connection.fetch(f"SELECT * FROM {table._meta.tablename}")
    finally:
        await connection.close()


async def test_blocks_nest_by_the_parsed_id(open_shop: OpenShop) -> None:
    own, other = open_shop.shop.ids
    spelled = own if isinstance(own, UUID) else str(own)
    async with tenant(own, engine=open_shop.engine) as outer:
        async with tenant(spelled, engine=open_shop.engine) as inner:
            assert inner is outer
        with pytest.raises(TenantNestingError, match="Nothing was run"):
            async with tenant(other, engine=open_shop.engine):
                pass


async def test_an_id_of_another_type_is_refused(open_shop: OpenShop) -> None:
    wrong: Any
    for wrong in (None, True, 1.5, "", b"1", object()):
        with pytest.raises(InvalidTenantIdError, match="Nothing was run"):
            tenant(wrong, engine=open_shop.engine)
