"""``bulk_insert()``: many rows of one tenant, nearly as fast as COPY."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from piccolo.table import Table

from partman.bulk.given_rows import GivenRows
from partman.bulk.insertion import Insertion
from partman.bulk.target import read_target
from partman.database.engine import project_engine
from partman.errors import TenancyError
from partman.tenant.engine import TenantEngine
from partman.tenant.transaction import TenantTransaction

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    Raw: TypeAlias = Connection[Record] | PoolConnectionProxy[Record]

RowLike: TypeAlias = Mapping[str, Any] | Table
"""A row: values by the names of attributes or columns, or an object of the table class."""


async def bulk_insert(
    table: type[Table], rows: Iterable[RowLike], *, engine: TenantEngine | None = None
) -> int:
    """Insert many rows inside ``tenant()``: all of them or none. Return the number inserted.

    ::

        async with tenant(organization_id):
            await bulk_insert(Partner, ({"name": name, "domain": domain} for name, domain in file))

    A row may leave out a column that has a default in the table class, and the tenant, which is
    the block's. Enums, lists, JSON and references are given as to Piccolo's ``insert``. ``rows``
    may be a generator: some thousands are in memory at a time. While it runs, other tasks of the
    block wait, so the generator must not ask the database. Objects are not marked as saved. A row
    that refers to another row of the same table comes after it.

    Raises RowRefusedError, which names the row by its index and shows its values; the block can go
    on, without any of the rows. Raises TenancyError outside of ``tenant()``.
    """
    engine = engine or project_engine(TenantEngine)
    current = engine.current_transaction.get()
    if not isinstance(current, TenantTransaction):
        raise TenancyError(
            "bulk_insert() was called outside of tenant(). Nothing was inserted. Call it inside of "
            "async with tenant(...)."
        )
    tenant_id = current.tenant_id
    tenancy = engine.needed_tenancy

    async def insert(raw: "Raw") -> int:
        target = await read_target(raw, table)
        given = GivenRows(table, {tenancy.column: tenant_id}, target)
        insertion = Insertion(raw, target, is_distributed=current.connection.is_distributed)
        return await insertion.insert(given.portions(rows))

    return await current.connection.run(insert)
