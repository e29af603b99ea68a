"""Prepare the session of a migration run."""

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

    ``report`` gets messages about the session that is waited for. Raises LockHeldError, and
    PartmanError if the session or the ledger cannot be used.
    """
    await refuse_transaction_pooling(connection, settings)
    # row_security = off: a backfill whose rows a policy hides fails, instead of changing none.
    # client_connection_check_interval: if partman is killed, its statement ends and frees its
    # locks.
    await connection.execute(
        f"{settings.policy.timeouts}SET row_security = off;"
        "SET idle_in_transaction_session_timeout = 0;"
    )
    with contextlib.suppress(asyncpg.InvalidParameterValueError):  # not on every platform
        await connection.execute("SET client_connection_check_interval = 500")
    await lock.acquire(connection, patience=settings.policy.lock_wait, report=report)
    if schemas := await connection.fetchval(_LEDGER_ELSEWHERE):
        # Piccolo checks for a table of that name in any schema, but uses the one in the
        # search_path.
        raise PartmanError(
            f"The schema {schemas} has a table named migration, which Piccolo takes for its ledger "
            "although it is not in the search_path. Nothing was run. Rename that table."
        )
