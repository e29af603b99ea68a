"""The actions of a tenant in its block, and their expected results from the model."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from piccolo.columns import Column
from piccolo.table import Table

from partman.engine import PartmanEngine
from partman.errors import TenantColumnError, TenantNestingError, TenantOverError
from partman.tables import Opportunity, Organization, Partner, User
from partman.tenant import tenant
from partman.tenant.transaction import TenantTransaction
from tests.isolation.model import MARKS, Row, Tenant, columns, new_id, new_number


@dataclass(frozen=True)
class Aim:
    """The table and row at which a statement aims; the row may be another tenant's."""

    table: type[Table]
    whose: int
    number: int


@dataclass
class Block:
    """A ``tenant()`` block: its tenant, and the expected state of the database in it."""

    engine: PartmanEngine
    transaction: TenantTransaction
    tenant: Tenant
    everybody: list[Tenant]
    outliving: list[asyncio.Task[None]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def row(self, aim: Aim) -> UUID:
        """The row's key, or an unused key without a row."""
        whose = self.everybody[aim.whose % len(self.everybody)]
        known = self.tenant if whose.id == self.tenant.id else whose
        return known.pick(aim.table, aim.number) or new_id()

    def stranger(self, aim: Aim) -> Tenant:
        strangers = [tenant for tenant in self.everybody if tenant.id != self.tenant.id]
        return strangers[aim.number % len(strangers)]

    def is_anothers(self, table: type[Table], row: UUID) -> bool:
        return any(
            row in tenant.rows[table] for tenant in self.everybody if tenant.id != self.tenant.id
        )

    async def refused(self, statement: Awaitable[Any], error: type[Exception]) -> None:
        savepoint = await self.transaction.savepoint()
        with pytest.raises(error):
            await statement
        await savepoint.rollback_to()  # type: ignore[no-untyped-call]


async def select(block: Block, aim: Aim) -> None:
    found = await aim.table.select(key(aim.table), mark(aim.table))
    assert marks(aim.table, found) == block.tenant.marks(aim.table)


async def select_one(block: Block, aim: Aim) -> None:
    row = block.row(aim)
    found = await aim.table.select(key(aim.table), mark(aim.table)).where(key(aim.table) == row)
    mine = block.tenant.marks(aim.table)
    assert marks(aim.table, found) == ({row: mine[row]} if row in mine else {})


async def count(block: Block, aim: Aim) -> None:
    assert await aim.table.count() == len(block.tenant.rows[aim.table])


async def batch(block: Block, aim: Aim) -> None:
    query = aim.table.select(key(aim.table), mark(aim.table))
    found: list[dict[str, Any]] = []
    async with await query.batch(batch_size=2) as portions:
        async for rows in portions:
            found.extend(rows)
    assert marks(aim.table, found) == block.tenant.marks(aim.table)


async def join(block: Block, aim: Aim) -> None:
    deals = await Opportunity.select(
        Opportunity.id, Opportunity.partner.id.as_alias("p"),
        Opportunity.assigned_user.id.as_alias("u"),
    )  # fmt: skip
    assert {deal["id"]: (deal["p"], deal["u"]) for deal in deals} == {
        deal: (row.partner, row.user) for deal, row in block.tenant.rows[Opportunity].items()
    }


async def raw_join_without_a_condition(block: Block, aim: Aim) -> None:
    [row] = await Organization.raw(
        f"SELECT count(*) AS n FROM organizations o, {aim.table._meta.tablename} t"
    )
    assert row["n"] == len(block.tenant.rows[aim.table])


async def insert(block: Block, aim: Aim) -> None:
    row = Row(f"i{new_number()}", *_references(block.tenant, aim.number))
    if aim.table is Opportunity and row.partner is None:
        return
    if aim.table is Organization:
        other = Organization(id=new_id(), name="o", subdomain=str(new_number()))
        await block.refused(Organization.insert(other).run(), asyncpg.InsufficientPrivilegeError)
        return
    added = new_id()
    await aim.table.insert(_made(block.tenant.id, aim.table, added, row))
    block.tenant.rows[aim.table][added] = row


async def insert_for_another(block: Block, aim: Aim) -> None:
    if aim.table is Organization:
        return
    stranger = block.stranger(aim)
    row = Row("s", *_references(stranger, aim.number))
    made = _made(stranger.id, aim.table, new_id(), row)
    await block.refused(aim.table.insert(made).run(), asyncpg.InsufficientPrivilegeError)


async def refer_to_another(block: Block, aim: Aim) -> None:
    if aim.table in (Organization, User, Partner):
        return
    partner, user = _references(block.stranger(aim), aim.number)
    row = Row("r", partner or new_id(), user or new_id())
    made = _made(block.tenant.id, aim.table, new_id(), row)
    await block.refused(aim.table.insert(made).run(), asyncpg.ForeignKeyViolationError)


async def upsert(block: Block, aim: Aim) -> None:
    row, text = block.row(aim), f"u{new_number()}"
    values = Row(text, *_references(block.tenant, aim.number))
    if aim.table is Organization or (aim.table is Opportunity and values.partner is None):
        return
    statement = aim.table.insert(_made(block.tenant.id, aim.table, row, values)).on_conflict(
        target=key(aim.table), action="DO UPDATE", values=[mark(aim.table)]
    )
    # Divided by tenant, two of them can have rows with the same ID.
    if block.is_anothers(aim.table, row) and not block.engine.is_distributed:
        await block.refused(statement.run(), asyncpg.InsufficientPrivilegeError)
        return
    await statement
    if not block.tenant.mark(aim.table, row, text):
        block.tenant.rows[aim.table][row] = values


async def update(block: Block, aim: Aim) -> None:
    row, text = block.row(aim), f"m{new_number()}"
    statement = aim.table.update({mark(aim.table): text}).where(key(aim.table) == row)
    changed = await statement.returning(key(aim.table))
    assert bool(changed) == block.tenant.mark(aim.table, row, text)


async def update_all(block: Block, aim: Aim) -> None:
    text = f"a{new_number()}"
    changed = await aim.table.raw(
        f"UPDATE {aim.table._meta.tablename} SET {MARKS[aim.table]} = {{}} RETURNING id", text
    )
    assert {row["id"] for row in changed} == set(block.tenant.rows[aim.table])
    for row in list(block.tenant.rows[aim.table]):
        block.tenant.mark(aim.table, row, text)


async def save(block: Block, aim: Aim) -> None:
    row, text = block.row(aim), f"o{new_number()}"
    if aim.table is Organization:
        return  # the tenant may not save its other columns
    found = await aim.table.objects().get(key(aim.table) == row)
    assert (found is not None) == block.tenant.mark(aim.table, row, text)
    if found is not None:
        setattr(found, MARKS[aim.table], text)
        await found.save()


async def delete(block: Block, aim: Aim) -> None:
    row = block.row(aim)
    statement = aim.table.delete().where(key(aim.table) == row)
    if aim.table is Organization:
        await block.refused(statement.run(), asyncpg.InsufficientPrivilegeError)
        return
    deleted = await statement.returning(key(aim.table))
    assert bool(deleted) == block.tenant.delete(aim.table, row)


async def delete_a_strangers(block: Block, aim: Aim) -> None:
    if aim.table is not Organization:
        deleted = await aim.table.raw(
            f"DELETE FROM {aim.table._meta.tablename} WHERE organization_id = {{}} RETURNING id",
            block.stranger(aim).id,
        )
        assert deleted == []


async def move(block: Block, aim: Aim) -> None:
    column = "id" if aim.table is Organization else "organization_id"
    statement = aim.table.raw(
        f"UPDATE {aim.table._meta.tablename} SET {column} = {{}} WHERE id = {{}}",
        block.stranger(aim).id,
        block.row(aim),
    )
    await block.refused(statement.run(), TenantColumnError)


async def truncate(block: Block, aim: Aim) -> None:
    statement = aim.table.raw(f"TRUNCATE {aim.table._meta.tablename} CASCADE")
    await block.refused(statement.run(), asyncpg.InsufficientPrivilegeError)


async def nest_the_same(block: Block, aim: Aim) -> None:
    async with tenant(block.tenant.id, engine=block.engine):
        await select(block, aim)
    await select(block, aim)


async def nest_another(block: Block, aim: Aim) -> None:
    with pytest.raises(TenantNestingError):
        async with tenant(block.stranger(aim).id, engine=block.engine):
            raise AssertionError("it was entered")
    await select(block, aim)


async def ask_twice_at_once(block: Block, aim: Aim) -> None:
    await asyncio.gather(select(block, aim), count(block, aim))


async def outlive(block: Block, aim: Aim) -> None:
    """Start a task that queries once more after the block has ended."""

    async def ask() -> None:
        await block.over.wait()
        with pytest.raises(TenantOverError):
            await aim.table.count()

    block.outliving.append(asyncio.create_task(ask()))


Verb = Callable[[Block, Aim], Awaitable[None]]

VERBS: tuple[Verb, ...] = (
    select, select_one, count, batch, join, raw_join_without_a_condition, insert, insert,
    insert_for_another, refer_to_another, upsert, update, update_all, save, delete,
    delete_a_strangers, move, truncate, nest_the_same, nest_another, ask_twice_at_once, outlive,
)  # fmt: skip
"""Insert is listed twice, so that more rows exist."""


def key(table: type[Table]) -> Column:
    return table._meta.primary_key


def mark(table: type[Table]) -> Column:
    return table._meta.get_column_by_name(MARKS[table])


def marks(table: type[Table], rows: list[dict[str, Any]]) -> dict[UUID, str]:
    return {row["id"]: row[MARKS[table]] for row in rows}


def _references(of: Tenant, number: int) -> tuple[UUID | None, UUID | None]:
    """Return a partner and a user of the tenant; every third row has no user."""
    return of.pick(Partner, number), of.pick(User, number) if number % 3 else None


def _made(of: UUID, table: type[Table], row: UUID, values: Row) -> Table:
    return table(**columns(of, table, row, values))
