"""Export a tenant: all of its rows into one file."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from partman.database.engine import project_engine
from partman.errors import TenantNotPortableError
from partman.operator.lifecycle import not_found
from partman.operator.session import acting_as, enter_tenant
from partman.operator.tenant_file import Header, TableHeader, written
from partman.operator.tenant_rows import FIXED_FORMATS, TenantRows, tenant_rows
from partman.operator.tenants_table import TenantsTable
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Progress: TypeAlias = Callable[[str, int], None]
"""Called with the name of each table that is done, and its number of rows."""

_PORTION = 1_000
"""Rows in memory at a time."""


async def export_tenant(
    tenants: TenantsTable,
    tenant_id: TenantId,
    path: Path,
    *,
    secrets: bool = True,
    progress: Progress = lambda _table, _rows: None,
    engine: TenantEngine | None = None,
) -> Header:
    """Write all rows of a tenant into a new file; return its header.

    All tables are read as of one moment; some rows are in memory at a time. The file appears under
    its name when it is whole. Without ``secrets`` the values of secret columns, such as hashes of
    passwords, are left out; such a file cannot be imported. Raises TenantFileError,
    TenantNotFoundError, TenantNotPortableError, and what acting_as() raises.
    """
    engine = engine or project_engine(TenantEngine)
    tenancy = engine.needed_tenancy
    tenant_id = parse_tenant_id(tenant_id, tenancy.key)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    asked = f"exporting the {tenants.noun}"
    async with acting_as("operator", asked, begin=begin, engine=engine) as connection:
        await enter_tenant(connection, tenant_id, engine)
        await connection.execute(FIXED_FORMATS)
        name = await connection.fetchval(
            f"SELECT {tenants.name_sql}::text FROM {tenants.sql_name} WHERE id = $1", tenant_id
        )
        if name is None:
            raise not_found(tenants, tenant_id)
        tables = await tenant_rows(connection, tenants, tenancy)
        header = Header(
            tenant_table=tenancy.table,
            tenant_id=str(tenant_id),
            tenant_name=name,
            exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
            without_secrets=() if secrets else _secret_columns(tables),
            schema=await applied_migrations(connection),
            tables=tuple([await _table_header(connection, table, tenant_id) for table in tables]),
        )
        with written(path) as file:
            file.header(header)
            for table, of_table in zip(tables, header.tables, strict=True):
                rows = 0
                async for row in _rows(connection, table, of_table, tenant_id, secrets=secrets):
                    file.row(row)
                    rows += 1
                if rows != of_table.rows:
                    raise TenantNotPortableError(
                        f"{of_table.rows - rows} rows of {table.name} refer to each other in a "
                        "circle, so there is no order to insert them in. There is no file. Make "
                        "the key by which they do DEFERRABLE."
                    )
                progress(table.name, rows)
    return header


async def applied_migrations(connection: "Connection[Record]") -> tuple[tuple[str, str], ...]:
    """Return the app and the ID of each applied migration."""
    rows = await connection.fetch("SELECT app_name, name FROM migration ORDER BY app_name, name")
    return tuple((row["app_name"], row["name"]) for row in rows)


def _secret_columns(tables: Sequence[TenantRows]) -> tuple[str, ...]:
    return tuple(
        f"{table.name}.{column.name}"
        for table in tables
        for column in table.target.columns.values()
        if column.secret
    )


async def _table_header(
    connection: "Connection[Record]", table: TenantRows, tenant_id: TenantId
) -> TableHeader:
    count = await connection.fetchval(
        f"SELECT count(*) FROM {table.target.table} WHERE {table.tenant_column} = $1", tenant_id
    )
    return TableHeader(table.name, tuple(table.target.columns), count)


async def _rows(
    connection: "Connection[Record]",
    table: TenantRows,
    header: TableHeader,
    tenant_id: TenantId,
    *,
    secrets: bool,
) -> AsyncIterator[list[str | None]]:
    left_out = [
        number
        for number, name in enumerate(header.columns)
        if table.target.columns[name].secret and not secrets
    ]
    # A cursor's name of its own, because the driver remembers the columns of a statement.
    cursor = f"partman_export_{table.name.encode().hex()}"[:63]
    await connection.execute(
        f"DECLARE {cursor} NO SCROLL CURSOR FOR"
        f" {table.ordered_sql(header.columns, table.of_tenant(tenant_id))}"
    )
    while portion := await connection.fetch(f"FETCH FORWARD {_PORTION} FROM {cursor}"):
        for record in portion:
            row = list(record)
            for number in left_out:
                row[number] = None
            yield row
    await connection.execute(f"CLOSE {cursor}")
