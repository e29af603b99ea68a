"""Create, find, list, deactivate and reactivate tenants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
from piccolo.table import Table

from partman.bulk.given_rows import GivenRows
from partman.bulk.insertion import Insertion
from partman.bulk.target import read_target
from partman.database.distributed import distributed_tables
from partman.database.engine import project_engine
from partman.errors import TenantNameTakenError, TenantNotFoundError, TenantRefusedError
from partman.grammar.names import quoted
from partman.operator.session import acting_as, enter_tenant
from partman.operator.tenants_table import TenantsTable
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id

if TYPE_CHECKING:
    from asyncpg import Connection, Record

FirstRows = Sequence[tuple[type[Table], Sequence[Mapping[str, Any]]]]
"""Table classes with rows, referenced tables first."""


@dataclass(frozen=True)
class TenantSummary:
    """A tenant as an operator knows it."""

    id: TenantId
    name: str
    active: bool


async def create_tenant(
    tenants: TenantsTable,
    values: Mapping[str, Any],
    first_rows: FirstRows = (),
    *,
    engine: TenantEngine | None = None,
) -> TenantId:
    """Create a tenant with its first rows, all in one transaction; return its ID.

    ``values`` are those of the row of the tenant, as ``bulk_insert()`` takes them. Raises
    TenantNameTakenError; TenantRefusedError for another value that the database refuses;
    RowRefusedError for a first row; and what acting_as() raises.
    """
    engine = engine or project_engine(TenantEngine)
    tenancy = engine.needed_tenancy
    asked = f"creating {_with_article(tenants.noun)}"
    async with acting_as("operator", asked, engine=engine) as connection:
        tenant_id = await _insert_tenant(connection, tenants, values)
        await enter_tenant(connection, tenant_id, engine)
        for table, rows in first_rows:
            target = await read_target(connection, table)
            given = GivenRows(table, {tenancy.column: tenant_id}, target)
            then = f"No {tenants.noun} was created, nor any row. Correct the row, and try again."
            is_distributed = bool(await distributed_tables(connection))
            insertion = Insertion(connection, target, then, is_distributed=is_distributed)
            await insertion.insert(given.portions(rows))
    return tenant_id


async def set_active(
    tenants: TenantsTable, tenant_id: TenantId, *, active: bool, engine: TenantEngine | None = None
) -> bool:
    """Activate or deactivate a tenant; return whether that changed anything.

    A deactivated tenant keeps all its rows. Raises TenantNotFoundError, and what acting_as()
    raises; TenantRefusedError if the table has no column for it.
    """
    if tenants.active is None:
        raise TenantRefusedError(
            f"A {tenants.noun} cannot be deactivated: the app names no column for it. Nothing was "
            "changed."
        )
    column = quoted(tenants.active._meta.db_column_name)
    verb = "reactivating" if active else "deactivating"
    async with acting_as("operator", f"{verb} {_with_article(tenants.noun)}", engine=engine) as c:
        before = await c.fetchrow(
            f"SELECT {tenants.active_sql} AS active FROM {tenants.sql_name}"
            " WHERE id = $1 FOR UPDATE",
            _parsed(tenant_id, engine),
        )
        if before is None:
            raise not_found(tenants, tenant_id)
        if before["active"] is active:
            return False
        await c.execute(
            f"UPDATE {tenants.sql_name} SET {column} = $2 WHERE id = $1",
            _parsed(tenant_id, engine),
            active,
        )
    return True


async def list_tenants(
    tenants: TenantsTable, *, engine: TenantEngine | None = None
) -> list[TenantSummary]:
    """Return all tenants by name, also those that are not active."""
    return await _summaries(tenants, "true", engine=engine)


async def find_tenant(
    tenants: TenantsTable, name: str, *, engine: TenantEngine | None = None
) -> TenantSummary:
    """Return the tenant of that name, active or not. Raises TenantNotFoundError."""
    found = await _summaries(tenants, f"{tenants.name_sql} = $1", name, engine=engine)
    if not found:
        raise not_found(tenants, name)
    return found[0]


def not_found(tenants: TenantsTable, which: object) -> TenantNotFoundError:
    """Return the error for a tenant that does not exist."""
    return TenantNotFoundError(f"There is no {tenants.noun} {which}. Nothing was changed.")


async def _summaries(
    tenants: TenantsTable, condition: str, *arguments: object, engine: TenantEngine | None
) -> list[TenantSummary]:
    async with acting_as("operator", f"listing the {tenants.noun}s", engine=engine) as connection:
        rows = await connection.fetch(
            f"SELECT id, {tenants.name_sql}::text AS name, {tenants.active_sql} AS active"
            f" FROM {tenants.sql_name} WHERE {condition} ORDER BY name, id",
            *arguments,
        )
    return [TenantSummary(**row) for row in rows]


async def _insert_tenant(
    connection: "Connection[Record]", tenants: TenantsTable, values: Mapping[str, Any]
) -> TenantId:
    target = await read_target(connection, tenants.table)
    [portion] = GivenRows(tenants.table, {}, target).portions([values])
    try:
        tenant_id: TenantId = await connection.fetchval(
            f"{target.insert_sql(portion.columns)} RETURNING id", *portion.values
        )
    except asyncpg.UniqueViolationError as error:
        name = values.get(tenants.name._meta.name)
        raise TenantNameTakenError(
            f"There is {_with_article(tenants.noun)} with the {tenants.name._meta.name} {name!r} "
            "already. Nothing was created. Choose another."
        ) from error
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise TenantRefusedError(
            f"The {tenants.noun} was refused: {error.args[0]}. Nothing was created. Correct its "
            "values.",
            getattr(error, "constraint_name", None),
        ) from error
    return tenant_id


def _parsed(tenant_id: TenantId, engine: TenantEngine | None) -> TenantId:
    engine = engine or project_engine(TenantEngine)
    return parse_tenant_id(tenant_id, engine.needed_tenancy.key)


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
