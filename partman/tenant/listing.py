"""All tenants, for a job that runs for each of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected
from partman.database.engine import project_engine
from partman.errors import NotIsolatedError, PermissionDeniedError
from partman.grammar.names import quoted
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PORTION = 1000
"""Tenants that are read at a time."""


async def all_tenants(
    active: str | None = None, *, engine: TenantEngine | None = None
) -> AsyncIterator[TenantId]:
    """Iterate the IDs of all tenants, in their order; no transaction is open in between.

    ``active`` names a boolean column of the tenants' table: only tenants for which it is true. They
    are read by the application's login as the tenancy's operator. Where the tenancy has no
    operator, by the login that runs the migrations (``DATABASE_URL``), because the application's
    own may not list them: where the two differ, PARTMAN_APP_DATABASE_URL names the application's.

    Raises TenantNestingError inside of ``tenant()``; PermissionDeniedError, NotIsolatedError,
    DatabaseUnavailableError.
    """
    engine = engine or project_engine(TenantEngine)
    condition = f"{quoted(active)}" if active else "true"
    last: TenantId | None = None
    while True:
        with engine.outside_of_tenant("The list of all tenants"):
            found = await _portion(engine, condition, last)
        for tenant_id in found:
            yield tenant_id
        if len(found) < _PORTION:
            return
        last = found[-1]


async def _portion(engine: TenantEngine, condition: str, last: TenantId | None) -> list[TenantId]:
    table = engine.needed_tenancy.table
    after, arguments = ("", []) if last is None else (" AND id > $1", [last])
    try:
        async with _reading(engine) as connection:
            rows = await connection.fetch(
                f"SELECT id FROM {table} WHERE {condition}{after} ORDER BY id LIMIT {_PORTION}",
                *arguments,
            )
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The login may not list all tenants: {error}. Nothing was run. {_way(engine)}"
        ) from error
    except (asyncpg.UndefinedTableError, asyncpg.InvalidParameterValueError) as error:
        raise NotIsolatedError(
            f"The database does not list its tenants: {error}. Nothing was run. Migrate it: "
            "piccolo migrations forwards all"
        ) from error
    return [row["id"] for row in rows]


@asynccontextmanager
async def _reading(engine: TenantEngine) -> AsyncIterator["Connection[Record]"]:
    """Open a transaction that sees all tenants."""
    name = {"application_name": "partman: tenants"}
    operator = _operator(engine)
    if operator is None:
        async with (
            connected(engine.settings, **name, statement_cache_size=0) as connection,
            connection.transaction(readonly=True),
        ):
            # Where a policy would hide tenants, this makes it an error.
            await connection.execute("SET LOCAL row_security = off")
            yield connection
        return
    connection = await engine.application_connection(server_settings=name)
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL ROLE {operator}")
            yield connection
    finally:
        await connection.close()


def _operator(engine: TenantEngine) -> str | None:
    return next(iter(engine.needed_tenancy.roles.those_of("operator")), None)


def _way(engine: TenantEngine) -> str:
    if (operator := _operator(engine)) is not None:
        return f"As the role that runs the migrations: GRANT {operator} TO the login."
    return (
        "Let DATABASE_URL name the login that runs the migrations, and PARTMAN_APP_DATABASE_URL "
        "the application's."
    )
