"""Refuse a standby where something is to be written."""

from typing import TYPE_CHECKING

from partman.errors import PermissionDeniedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def refuse_standby(
    connection: "Connection[Record]",
    outcome: str = "Nothing was changed",
    remedy: str = "Set DATABASE_URL to the primary",
) -> None:
    """Raise PermissionDeniedError if the server is a standby, before anything is tried on it."""
    if await _is_standby(connection):
        raise PermissionDeniedError(
            f"The server is a standby, which can only be read. {outcome}. {remedy}."
        )


async def _is_standby(connection: "Connection[Record]") -> bool:
    # The server reports it when a session begins, and when it is promoted. A pooler may not.
    reported = getattr(connection.get_settings(), "in_hot_standby", None)
    if reported is not None:
        return bool(reported == "on")
    return bool(await connection.fetchval("SELECT pg_catalog.pg_is_in_recovery()"))
