"""Delete a tenant with all of its rows, after somebody has seen how many there are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database.engine import project_engine
from partman.errors import PermissionDeniedError, TenantChangedError
from partman.operator.lifecycle import not_found
from partman.operator.session import acting_as, enter_tenant
from partman.operator.tenants_table import TenantsTable
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record


# The tables whose rows go with the row that they refer to. A partition's key is its parent's.
_DELETED_WITH = """
SELECT conrelid::regclass::text, quote_ident(attname)
FROM pg_constraint
JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
WHERE contype = 'f' AND confdeltype = 'c' AND confrelid = to_regclass($1) AND conparentid = 0
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class RowCounts:
    """How many rows refer to a tenant directly, and go with it."""

    by_table: tuple[tuple[str, int], ...]
    """The names of tables, as in the database, and their numbers of rows."""

    @property
    def total(self) -> int:
        """All rows, without the tenant's own."""
        return sum(count for _, count in self.by_table)

    def __str__(self) -> str:
        """Return the counts as a message has them."""
        shown = ", ".join(f"{name}: {count:,}" for name, count in self.by_table if count)
        return f"{counted(self.total, 'row')}{f' ({shown})' if shown else ''}"


async def count_rows(
    tenants: TenantsTable, tenant_id: TenantId, *, engine: TenantEngine | None = None
) -> RowCounts:
    """Count the rows that delete_tenant() would delete. Raises TenantNotFoundError."""
    engine = engine or project_engine(TenantEngine)
    tenant_id = parse_tenant_id(tenant_id, engine.needed_tenancy.key)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    asked = f"counting the rows of the {tenants.noun}"
    async with acting_as("operator", asked, begin=begin, engine=engine) as connection:
        await _find(connection, tenants, tenant_id)
        return await _count(connection, tenants, tenant_id, engine)


async def delete_tenant(
    tenants: TenantsTable,
    tenant_id: TenantId,
    *,
    seen: RowCounts,
    engine: TenantEngine | None = None,
) -> RowCounts:
    """Delete a tenant with all of its rows; return how many these were.

    ``seen`` is what count_rows() returned and somebody agreed to. The tenant's row is locked
    first, so that no row is added, and the rows are counted again. Raises TenantChangedError if
    the counts differ; TenantNotFoundError; what acting_as() raises.
    """
    engine = engine or project_engine(TenantEngine)
    tenant_id = parse_tenant_id(tenant_id, engine.needed_tenancy.key)
    async with acting_as("operator", f"deleting the {tenants.noun}", engine=engine) as connection:
        await _find(connection, tenants, tenant_id, lock=" FOR UPDATE")
        found = await _count(connection, tenants, tenant_id, engine)
        if found != seen:
            raise TenantChangedError(
                f"The {tenants.noun} has changed: it has {found}, and you agreed to {seen}. "
                "Nothing was deleted. Count again, and decide again."
            )
        await connection.execute(f"DELETE FROM {tenants.sql_name} WHERE id = $1", tenant_id)
    return found


async def _find(
    connection: "Connection[Record]", tenants: TenantsTable, tenant_id: TenantId, lock: str = ""
) -> None:
    found = await connection.fetch(f"SELECT FROM {tenants.sql_name} WHERE id = $1{lock}", tenant_id)
    if not found:
        raise not_found(tenants, tenant_id)


async def _count(
    connection: "Connection[Record]",
    tenants: TenantsTable,
    tenant_id: TenantId,
    engine: TenantEngine,
) -> RowCounts:
    await enter_tenant(connection, tenant_id, engine)
    counts = []
    for table, column in await connection.fetch(_DELETED_WITH, tenants.sql_name):
        sql = f"SELECT count(*) FROM {table} WHERE {column} = $1"
        try:
            counts.append((table, await connection.fetchval(sql, tenant_id)))
        except asyncpg.InsufficientPrivilegeError as error:
            operator = engine.needed_tenancy.roles.operator
            raise PermissionDeniedError(
                f"{operator} may not count the rows of {table}, which go with the {tenants.noun}: "
                f"{error.args[0]}. Nothing was changed. As the role that runs the migrations: "
                f"GRANT SELECT ({column}) ON {table} TO {operator}"
            ) from error
    return RowCounts(tuple(counts))
