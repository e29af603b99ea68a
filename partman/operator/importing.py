"""Import a tenant from the file that export_tenant() wrote."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from partman.bulk.given_rows import Portion
from partman.bulk.insertion import Insertion
from partman.bulk.target import TargetColumn
from partman.database.distributed import distributed_tables
from partman.database.engine import project_engine
from partman.errors import (
    RowRefusedError,
    TenantExistsError,
    TenantFileError,
    TenantImportRefusedError,
)
from partman.operator.exporting import Progress, applied_migrations
from partman.operator.session import acting_as, enter_tenant
from partman.operator.tenant_file import Header, TableHeader, TenantFileReader, opened
from partman.operator.tenant_rows import FIXED_FORMATS, TenantRows, tenant_rows
from partman.operator.tenants_table import TenantsTable
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PORTION = 5_000
"""Rows of a statement, and in memory at a time."""


async def import_tenant(
    tenants: TenantsTable,
    path: Path,
    *,
    progress: Progress = lambda _table, _rows: None,
    engine: TenantEngine | None = None,
) -> Header:
    """Insert all rows of a file, in one transaction; return its header.

    All keys are kept. Raises TenantFileError for a file that is not whole; TenantExistsError;
    TenantImportRefusedError where the schema is another one, the file has no secrets, or rows are
    refused or do not add up; and what acting_as() raises. Nothing is imported then.
    """
    engine = engine or project_engine(TenantEngine)
    tenancy = engine.needed_tenancy
    asked = f"importing the {tenants.noun}"
    with opened(path) as file:  # before anything is locked
        file.check()
    with opened(path) as file:
        header = file.header()
        if header.without_secrets:
            raise TenantImportRefusedError(
                f"{path} was exported without {', '.join(header.without_secrets)}. Nothing was "
                "imported. Export again, with secrets."
            )
        if header.tenant_table != tenancy.table:
            raise TenantFileError(
                f"{path} is an export from the table {header.tenant_table}, not {tenancy.table}. "
                "Nothing was imported."
            )
        tenant_id = parse_tenant_id(header.tenant_id, tenancy.key)
        async with acting_as("operator", asked, engine=engine) as connection:
            await enter_tenant(connection, tenant_id, engine)
            await connection.execute(f"{FIXED_FORMATS}; SET CONSTRAINTS ALL DEFERRED")
            tables = await tenant_rows(connection, tenants, tenancy)
            _refuse_other_schema(header, await applied_migrations(connection), tables)
            await _refuse_existing(connection, tenants, header, tenant_id)
            by_name = {table.name: table for table in tables}
            for of_file in header.tables:
                table = by_name[of_file.name]
                await _insert(connection, table, of_file, file)
                await _verify(connection, table, of_file, tenant_id)
                progress(table.name, of_file.rows)
            file.end()
            await _check_deferred(connection)
    return header


def _refuse_other_schema(
    header: Header, applied: tuple[tuple[str, str], ...], tables: list[TenantRows]
) -> None:
    exported, here = set(header.schema), set(applied)
    if exported != here:
        parts = (("not applied here", exported - here), ("applied only here", here - exported))
        told = "; ".join(
            f"{what}: {', '.join(' '.join(each) for each in sorted(which))}"
            for what, which in parts
            if which
        )
        raise TenantImportRefusedError(
            f"The file was exported at another version of the schema. Migrations {told}. Nothing "
            "was imported. Bring both databases to the same version, and export again."
        )
    columns = {each.name: frozenset(each.columns) for each in header.tables}
    if columns != {table.name: frozenset(table.target.columns) for table in tables}:
        raise TenantImportRefusedError(
            "The file has other tables or columns than this database, although their migrations "
            "are the same. Nothing was imported. Compare both with: partman drift"
        )
    for table in tables:
        if table.numbered:
            raise TenantImportRefusedError(
                f"{table.name}.{table.numbered[0]} is numbered by a sequence of each database, so "
                "its values cannot be kept: they may be another tenant's here, now or later. "
                "Nothing was imported. Use UUIDs."
            )


async def _refuse_existing(
    connection: "Connection[Record]", tenants: TenantsTable, header: Header, tenant_id: TenantId
) -> None:
    found = await connection.fetchrow(
        f"SELECT id, {tenants.name_sql}::text AS name FROM {tenants.sql_name}"
        f" WHERE id = $1 OR {tenants.name_sql} = $2 LIMIT 1",
        tenant_id,
        header.tenant_name,
    )
    if found is not None:
        raise TenantExistsError(
            f"There is the {tenants.noun} {found['name']} ({found['id']}) already. Nothing was "
            "imported. An import never changes what is there: delete it first, or keep it."
        )


async def _insert(
    connection: "Connection[Record]", table: TenantRows, header: TableHeader, file: TenantFileReader
) -> None:
    # All values are sent as texts, and read by the server as of the column's type.
    columns = [replace(table.target.columns[name], known=False) for name in header.columns]
    try:
        is_distributed = bool(await distributed_tables(connection))
        insertion = Insertion(connection, table.target, is_distributed=is_distributed)
        await insertion.insert(_portions(columns, header, file))
    except RowRefusedError as error:
        reason = (error.__cause__ or error).args[0]
        raise TenantImportRefusedError(
            f"Row {error.index + 1} of {table.name} was refused: {reason}. Nothing was imported."
        ) from error


def _portions(
    columns: list[TargetColumn], header: TableHeader, file: TenantFileReader
) -> Iterator[Portion]:
    rows = file.rows(header)
    first = 0
    while portion := list(islice(rows, _PORTION)):
        yield Portion(first, columns, [list(values) for values in zip(*portion, strict=True)])
        first += len(portion)


async def _verify(
    connection: "Connection[Record]", table: TenantRows, header: TableHeader, tenant_id: TenantId
) -> None:
    """Count what is there now: a trigger may have added or left out rows."""
    found = await connection.fetchval(
        f"SELECT count(*) FROM {table.target.table} t WHERE {table.of_tenant(tenant_id)}"
    )
    if found != header.rows:
        raise TenantImportRefusedError(
            f"{table.name} has {found:,} rows of the tenant after {header.rows:,} were inserted. "
            "Nothing was imported. A trigger may add or leave out rows."
        )


async def _check_deferred(connection: "Connection[Record]") -> None:
    try:
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.IntegrityConstraintViolationError as error:
        raise TenantImportRefusedError(
            f"The rows do not fit together: {error.args[0]}. Nothing was imported."
        ) from error
