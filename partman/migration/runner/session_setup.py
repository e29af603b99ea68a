"""A session in which the schema, or what is recorded of it, may be changed."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncpg

from partman.database.poolers import refuse_transaction_pooling
from partman.errors import PartmanError
from partman.migration.ledger import lock
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_LEDGER_ELSEWHERE = """
SELECT string_agg(table_schema, ', ') FROM information_schema.tables
WHERE table_name = 'migration' HAVING to_regclass('migration') IS NULL
"""


async def prepare(
    connection: "Connection[Record]", settings: Settings, *, report: Callable[[str], None]
) -> None:
    """Set the timeouts and take the migration lock.

    ``report`` is told for whom we wait. Raises LockHeldError, and PartmanError where the session
    or the ledger is not one to work with.
    """
    await refuse_transaction_pooling(connection, settings)
    # row_security: a backfill that a policy would keep from its rows is an error, not zero rows.
    # client_connection_check_interval: should we be killed, our statement ends and frees its locks.
    await connection.execute(
        f"{settings.policy.timeouts}SET row_security = off;"
        "SET idle_in_transaction_session_timeout = 0;"
    )
    with contextlib.suppress(asyncpg.InvalidParameterValueError):  # not on every platform
        await connection.execute("SET client_connection_check_interval = 500")
    await lock.acquire(connection, patience=settings.policy.lock_wait, report=report)
    if schemas := await connection.fetchval(_LEDGER_ELSEWHERE):
        # Piccolo looks for a table of that name in any schema, and then uses the search path's.
        raise PartmanError(
            f"There is a table named migration in the schema {schemas}, which Piccolo takes for "
            "its ledger but cannot reach. Nothing was run. Rename that table."
        )
