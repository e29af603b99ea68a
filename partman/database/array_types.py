"""Types that the driver must know before a connection belongs to a tenant.

asyncpg asks the server about an array type when it first meets it on a connection, and turns the
JIT compiler off for that with ``set_config``. A tenant's role may not call that function, for
whoever can call it can choose a tenant. So the driver meets the usual ones beforehand: one
question for all of them, as one costs as much as ten.
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
"""The types whose arrays may be an argument or a result inside of ``tenant()``."""

_MEET = "SELECT " + ", ".join(f"null::{name}[]" for name in ARRAY_TYPES)


async def learn_array_types(connection: "Connection[Record]") -> None:
    """Let the driver meet the ARRAY_TYPES, on a new connection.

    In one transaction: behind a proxy the driver could otherwise turn JIT off in one server
    process, and on again in another. Raises PermissionDeniedError.
    """
    try:
        async with connection.transaction():
            await connection.prepare(_MEET, name="")
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The application's role may not do what the driver has to, to get to know array "
            f"types: {error}. As the owner of the database or a superuser: "
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO <the role>"
        ) from error


def explain_unknown_type(error: asyncpg.InsufficientPrivilegeError) -> PermissionDeniedError | None:
    """Return what to raise if the driver met an unknown type in ``tenant()``; None if not so."""
    if "set_config" not in str(error):
        return None
    return PermissionDeniedError(
        "The statement has an argument or a result of a type that the driver has not met on this "
        "connection (an enum, a row, an array of a rare type), and it may not ask the server "
        "about it as a tenant. The tenant() block is rolled back. Cast it in the statement "
        "(status::text), or let each new connection of the pool meet it: "
        "start_connection_pool(init=...) with await connection.prepare('SELECT null::my_type')"
    )
