"""A table that is declared a TenantTable is isolated, and works in Piccolo like any other."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from piccolo.columns import OnUpdate, Timestamptz
from piccolo.constraints import Unique
from piccolo.table import Table

from partman.engine import PartmanEngine
from partman.tables import Partner
from partman.tables.columns import Now, TenantReference, Varchar
from partman.tables.tenant import TenantTable
from partman.tenant import tenant
from tests.database.audit_support import PROJECT
from tests.tenants import Tenants, in_use


def _declared() -> Any:
    """The few lines that declare one; in a function, for it is no table of the project's."""

    class Task(TenantTable, Table, tablename="tasks"):
        partner = TenantReference(
            Partner, null=False, on_update=OnUpdate.no_action, db_column_name="partner_id"
        )
        parent = TenantReference("self", null=True, db_column_name="parent_id")
        title = Varchar(length=255, default=None, null=False)
        updated_at = Timestamptz(default=Now(), null=True)

        tasks_organization_id_id_key = Unique(["organization_id", "id"])

        extras = (
            "CREATE INDEX idx_tasks_partner ON tasks (organization_id, partner_id)",
            "CREATE INDEX idx_tasks_parent ON tasks (organization_id, parent_id)",
        )

    return Task


Task = _declared()


@pytest.fixture
async def engine(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartmanEngine]:
    async with in_use(tenants.engine(), monkeypatch, pool=True) as engine:
        monkeypatch.setattr(Task._meta, "_db", engine)
        yield engine


@pytest.fixture
async def with_tasks(
    tenants: Tenants, connection: "asyncpg.Connection[asyncpg.Record]"
) -> "asyncpg.Connection[asyncpg.Record]":
    """As its migration would make it."""
    for statement in (*Task.create_table().ddl, *Task.extras):
        await connection.execute(statement)
    return connection


async def test_its_isolation_has_no_gap(
    with_tasks: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    assert await PROJECT.gaps(with_tasks) == []


async def test_its_rows_are_reached_by_their_organization_and_dated_by_the_database(
    tenants: Tenants, engine: PartmanEngine, with_tasks: object
) -> None:
    async with tenant(tenants.first):
        partner = await Partner.objects().first()
        assert partner is not None
        parent = Task(organization=tenants.first, partner=partner.id, title="parent")
        await parent.save()
        child = Task(
            organization=tenants.first, partner=partner.id, title="child", parent=parent.id
        )
        await child.save()
        found = await Task.select(Task.title, Task.parent.title).where(Task.title == "child")
        assert found == [{"title": "child", "parent_id.title": "parent"}]
        before = child.updated_at
    async with tenant(tenants.first):
        child.title = "changed"
        await child.save()
        await child.refresh()
        assert (child.title, child.updated_at > before) == ("changed", True)
    async with tenant(tenants.second):
        assert await Task.count() == 0


async def test_it_cannot_refer_to_another_organizations_row(
    tenants: Tenants, engine: PartmanEngine, with_tasks: object
) -> None:
    async with tenant(tenants.first):
        partner = await Partner.objects().first()
    assert partner is not None
    task = Task(organization=tenants.second, partner=partner.id, title="stolen")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="tasks_organization_id_partner_id"):
        async with tenant(tenants.second):
            await task.save()


async def test_a_row_can_be_saved_though_its_organization_cannot_be_updated(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    """Piccolo would update each column, for one of which nobody but the owner has the right."""
    async with tenant(tenants.first):
        partner = await Partner.objects().first()
        assert partner is not None
        partner.name = "renamed"
        await partner.save()
    assert await tenants.partners() == ["partner of the second", "renamed"]
    async with tenant(tenants.first):
        assert await Partner.select(Partner.name).output(as_list=True) == ["renamed"]
