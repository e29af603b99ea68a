"""Array types that the driver must look up before a connection works for a tenant.

asyncpg looks up an array type in the catalog when a connection first uses it, and calls
``set_config`` to disable JIT for that query. A tenant's role may not call ``set_config``, because
that function can change the tenant. So each new connection looks up the common array types first,
in one query: looking up ten costs as much as looking up one.
"""

from typing import TYPE_CHECKING

import asyncpg

from partman.errors import PermissionDeniedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

ARRAY_TYPES = (
    "text",
    "varchar",
    "uuid",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
)
"""Element types of the arrays that can be an argument or a result inside ``tenant()``."""

_LOOK_UP = "SELECT " + ", ".join(f"null::{name}[]" for name in ARRAY_TYPES)


async def learn_array_types(connection: "Connection[Record]") -> None:
    """Make the driver look up the ARRAY_TYPES on a new connection.

    Runs in one transaction. Without it, behind a pooler, the driver could disable JIT in one server
    process and enable it again in another. Raises PermissionDeniedError.
    """
    try:
        async with connection.transaction():
            await connection.prepare(_LOOK_UP, name="")
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The application's role lacks a privilege that the driver needs to look up array "
            f"types: {error}. Run as the database's owner or a superuser: "
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO <the role>"
        ) from error


def explain_unknown_type(error: asyncpg.InsufficientPrivilegeError) -> PermissionDeniedError | None:
    """Return the error for a type that the driver could not look up in ``tenant()``, else None."""
    if "set_config" not in str(error):
        return None
    return PermissionDeniedError(
        "The statement has an argument or a result of a type that the driver has not looked up on "
        "this connection (an enum, a composite type, a rare array type), and a tenant's role may "
        "not look it up. The tenant() block is rolled back. Cast it in the statement "
        "(status::text), or look the type up on each new connection of the pool: "
        "start_connection_pool(init=...) with await connection.prepare('SELECT null::my_type')"
    )
