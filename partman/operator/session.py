"""A transaction as the operator's role, or as that of the reports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import asyncpg

from partman.database.distributed import distributed_tables
from partman.database.engine import project_engine
from partman.database.explain import CONNECTION_LOST
from partman.errors import (
    DatabaseUnavailableError,
    NoTenancyError,
    NotIsolatedError,
    PartmanError,
    PermissionDeniedError,
    TryAgainLaterError,
)
from partman.grammar.names import literal
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LOCK_TIMEOUT = "10s"
"""How long a statement waits for rows that another session has locked."""
_ONE_SESSION_EACH = "SET LOCAL citus.max_adaptive_executor_pool_size = 1"
"""Several sessions of one node would see it at several moments."""
_ON_ALL_NODES = "SET LOCAL citus.propagate_set_commands = 'local'"


@asynccontextmanager
async def acting_as(
    kind: Literal["operator", "reports"],
    asked: str,
    *,
    begin: str = "BEGIN",
    engine: TenantEngine | None = None,
) -> AsyncIterator["Connection[Record]"]:
    """Run a transaction as a role that works outside of ``tenant()``, over a new connection.

    ``asked`` names the call for messages. The transaction commits at the end, and rolls back when
    an exception leaves the block. Raises NoTenancyError where the tenancy has no such role;
    TenantNestingError inside of ``tenant()``; PermissionDeniedError, NotIsolatedError,
    DatabaseUnavailableError, TryAgainLaterError.
    """
    engine = engine or project_engine(TenantEngine)
    [role] = engine.needed_tenancy.roles.those_of(kind) or [None]
    if role is None:
        raise NoTenancyError(
            f"The project's tenancy has no role {kind}, which {asked} works as. Nothing was run. "
            f'Name one in the Tenancy: roles=Roles({kind}="shop_{kind}"); partman new then writes '
            "its migration."
        )
    with engine.outside_of_tenant(asked):
        connection = await engine.application_connection()
        try:
            await _become(connection, role, begin)
            try:
                yield connection
            except asyncpg.PostgresError as error:
                if kind == "operator" and (explained := _explained(error, asked, role)):
                    raise explained from error
                raise
            await _commit(connection, asked)
        finally:
            # Without a COMMIT, the server rolls back what was begun.
            await connection.close()


async def enter_tenant(
    connection: "Connection[Record]", tenant_id: TenantId, engine: TenantEngine | None = None
) -> None:
    """Let the operator's transaction reach the rows of one tenant."""
    setting = (engine or project_engine(TenantEngine)).needed_tenancy.setting
    await connection.execute(f"SET LOCAL {setting} = {literal(str(tenant_id))}")


async def _become(connection: "Connection[Record]", role: str, begin: str) -> None:
    local = [f"SET LOCAL ROLE {role}", f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"]
    try:
        if await distributed_tables(connection):
            # Citus sends the nodes the message that a SET LOCAL is part of: so each is alone.
            for statement in (begin, _ONE_SESSION_EACH, _ON_ALL_NODES, *local):
                await connection.execute(statement)
        else:
            await connection.execute("; ".join((begin, *local)))
    except asyncpg.InsufficientPrivilegeError as error:
        login = getattr(connection.get_settings(), "session_authorization", "the login role")
        only = " WITH INHERIT FALSE, SET TRUE" if connection.get_server_version() >= (16,) else ""
        raise PermissionDeniedError(
            f"{login} may not become {role}. Nothing was run. As the role that runs the "
            f"migrations: GRANT {role} TO {login}{only}"
        ) from error
    except asyncpg.InvalidParameterValueError as error:
        raise NotIsolatedError(
            f"The server does not know the role {role}: {error}. Nothing was run. Migrate the "
            "database: piccolo migrations forwards all"
        ) from error


def _explained(error: asyncpg.PostgresError, asked: str, role: str) -> PartmanError | None:
    match error:
        case asyncpg.LockNotAvailableError():
            return TryAgainLaterError(
                f"{asked}: another session has locked the rows for longer than {_LOCK_TIMEOUT}. "
                "Nothing was changed. Try again later."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"{asked}: {role} lacks a privilege: {error.args[0]}. Nothing was changed. Migrate "
                "the database (piccolo migrations forwards all), and look for what is missing: "
                "partman drift"
            )
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError():
            return NotIsolatedError(
                f"{asked}: {error.args[0]}. Nothing was changed. Migrate the database: piccolo "
                "migrations forwards all"
            )
    return None


async def _commit(connection: "Connection[Record]", asked: str) -> None:
    try:
        tag = await connection.execute("COMMIT")
    except CONNECTION_LOST as error:
        raise DatabaseUnavailableError(
            f"The connection was lost as {asked} committed: {error}. It is not known whether it "
            "was saved. Look before you do it again.",
            transient=True,
        ) from error
    if tag != "COMMIT":
        raise PartmanError(
            f"{asked}: a statement failed, and its error was caught. The server rolled everything "
            "back. Let the error leave the block."
        )
