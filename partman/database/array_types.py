"""Array types that every session knows, without asking the server.

asyncpg looks up an array type in the catalog when a connection first uses it. That costs the server
more than the connection itself, and calls ``set_config`` to disable JIT for that query. A tenant's
role may not call ``set_config``, because that function can change the tenant. PostgreSQL's own
types have the same OIDs on every server, so the driver can be told.
"""

from typing import TYPE_CHECKING

import asyncpg

from partman.errors import PermissionDeniedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# The OIDs of the array type and of its elements' type: pg_type.dat in PostgreSQL's source.
_OIDS = {
    "text": (1009, 25),
    "varchar": (1015, 1043),
    "name": (1003, 19),
    "uuid": (2951, 2950),
    "smallint": (1005, 21),
    "integer": (1007, 23),
    "bigint": (1016, 20),
    "numeric": (1231, 1700),
    "double precision": (1022, 701),
    "boolean": (1000, 16),
    "date": (1182, 1082),
    "timestamp": (1115, 1114),
    "timestamptz": (1185, 1184),
    "json": (199, 114),
    "jsonb": (3807, 3802),
}

ARRAY_TYPES = tuple(_OIDS)
"""Element types of the arrays that can be an argument or a result inside ``tenant()``."""

# A row of the query with which the driver looks types up.
_ROWS = [
    {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": b",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
    }
    for name, (array, element) in _OIDS.items()
]


def tell_array_types(connection: "Connection[Record]") -> None:
    """Tell the driver the ARRAY_TYPES on a new connection."""
    connection.get_settings().register_data_types(_ROWS)


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
