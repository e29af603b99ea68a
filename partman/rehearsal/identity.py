"""Whether two connections lead to the same database: the server is asked, not the URLs.

A session takes an advisory lock with a random number. Another session that sees it is on the same
server; and if it is in its own database, in the same database. A copy of the server's files has
the same system identifier and the same OIDs, and yet is another one.
"""

import secrets
from enum import Enum, auto
from typing import TYPE_CHECKING

from partman.database.connection import connected
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NAME = "partman rehearse"

_SEEN = """
SELECT database = (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
    AND classid::bigint = $1 AND objid::bigint = $2
"""

# Of a standby, its primary does not see the locks.
_IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system())::text || '.' || oid::text AS identity,
    pg_is_in_recovery() AS is_standby
FROM pg_database WHERE datname = current_database()
"""


class Relation(Enum):
    """How two databases are related."""

    SAME = auto()
    SAME_SERVER = auto()
    OTHER = auto()


async def relation_between(live: Settings, other: Settings) -> Relation:
    """Return how another database is related to the live one."""
    first, second = secrets.randbits(31), secrets.randbits(31)
    async with connected(live, _NAME) as one, connected(other, _NAME) as two:
        await one.fetchval("SELECT pg_advisory_lock($1, $2)", first, second)
        seen = await two.fetchval(_SEEN, first, second)
        if seen is not None:
            return Relation.SAME if seen else Relation.SAME_SERVER
        if await _is_primary_of(one, two):
            return Relation.SAME
    return Relation.OTHER


async def _is_primary_of(standby: "Connection[Record]", other: "Connection[Record]") -> bool:
    mine, others = await standby.fetchrow(_IDENTITY), await other.fetchrow(_IDENTITY)
    assert mine is not None
    assert others is not None
    is_replicated: bool = mine["is_standby"] or others["is_standby"]
    return is_replicated and mine["identity"] == others["identity"]
