"""Prepare the session of a migration run, and put it back between migrations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.database.distributed import HAS_CITUS, Distribution, own_distribution
from partman.database.poolers import refuse_transaction_pooling
from partman.database.standby import refuse_standby
from partman.errors import PartmanError, SettingsError
from partman.migration.ledger import lock
from partman.migration.runner import distributed_run
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SCHEMA = "public"

# What a run has to know of the database, once it has the lock.
_DATABASE = f"""
SELECT {HAS_CITUS} AS has_citus,
    pg_catalog.to_regclass('{_SCHEMA}.{bookkeeping.LEDGER}') IS NOT NULL AS has_ledger,
    EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D') AS has_event_triggers
"""
_LEDGER_ELSEWHERE = f"""
SELECT string_agg(table_schema, ', ') FROM information_schema.tables
WHERE table_name = '{bookkeeping.LEDGER}'
"""

# The timeouts that a role or a database may have set, and that would end a run, with the version of
# PostgreSQL that they came with.
_TIMEOUTS = {
    "idle_in_transaction_session_timeout": 9,
    "idle_session_timeout": 14,
    "transaction_timeout": 17,
}
TIMEOUTS = f"pg_catalog.pg_settings WHERE name IN {tuple(_TIMEOUTS)}"

RESET = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;"
"""Puts the settings of a session back to what they were at its start."""

_CHECK_CONNECTION = "SET client_connection_check_interval = 500;"

FORGET = "CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP;"
"""Ends what a migration may leave in a session beside its settings. It is DISCARD ALL without the
release of advisory locks, of which the run's is one."""


def session(settings: Settings) -> str:
    """Return the SQL that sets the policy's timeouts and row security in a session."""
    # row_security = off: a backfill whose rows a policy hides fails, instead of changing none.
    return f"{settings.policy.timeouts}SET row_security = off;"


@dataclass(frozen=True)
class PreparedSession:
    """What a run has to know of its session."""

    put_back: str
    """SQL that puts the session's settings back."""
    ledger_first: str
    """SQL that lets Piccolo, in a transaction, find its ledger before a temporary table of its
    name.
    """
    is_holder: str
    """The condition, in SQL, that this session has the lock; see lock.hold_twice()."""
    distribution: Distribution | None
    """How the database is distributed; None for a single server."""
    no_event_triggers: bool
    """Whether no event trigger is enabled in the database."""


async def prepare(
    connection: "Connection[Record]", settings: Settings, *, report: Callable[[str], None]
) -> PreparedSession:
    """Set the timeouts and take the migration lock.

    ``report`` gets messages about the session that is waited for. Raises LockHeldError,
    DistributedError, SettingsError for a search_path that does not begin with public, and
    PartmanError if the session or the ledger cannot be used.
    """
    await refuse_transaction_pooling(connection, settings)
    await refuse_standby(connection, "Nothing was run")
    search_path = await _search_path(connection)
    version = connection.get_server_version().major
    timeouts = (f"SET {name} = 0;" for name, since in _TIMEOUTS.items() if version >= since)
    set_up = session(settings) + "".join(timeouts)
    try:
        # If partman is killed, its statement ends and frees its locks; not on every platform.
        await connection.execute(set_up + _CHECK_CONNECTION)
        set_up += _CHECK_CONNECTION
    except asyncpg.InvalidParameterValueError:
        await connection.execute(set_up)
    await lock.acquire(connection, patience=settings.policy.lock_wait, report=report)
    is_holder = await lock.hold_twice(connection)
    # Under the lock, which partman distribute holds, too.
    database = await connection.fetchrow(_DATABASE)
    assert database is not None
    distribution = None
    if database["has_citus"]:
        distribution = await own_distribution(connection, "Nothing was run")
    if distribution:
        await connection.execute(distributed_run.SESSION)
        set_up += distributed_run.SESSION
    if not database["has_ledger"] and (schemas := await connection.fetchval(_LEDGER_ELSEWHERE)):
        # Piccolo checks for a table of that name in any schema, but uses the one in the
        # search_path.
        raise PartmanError(
            f"The schema {schemas} has a table named migration, which Piccolo takes for its ledger "
            "although it is not in the search_path. Nothing was run. Rename that table."
        )
    ledger_first = f"SET LOCAL search_path = {search_path}, pg_temp;"
    if distribution:
        ledger_first = f"{distributed_run.alone(ledger_first)};"
    return PreparedSession(
        put_back=f"{RESET} {set_up}",
        ledger_first=ledger_first,
        is_holder=is_holder,
        distribution=distribution,
        no_event_triggers=not database["has_event_triggers"],
    )


async def _search_path(connection: "Connection[Record]") -> str:
    """Return the search_path; refuse one that would lead tables and ledger out of ``public``."""
    row = await connection.fetchrow(
        "SELECT current_schema() AS schema, current_setting('search_path') AS path, session_user"
    )
    assert row is not None
    if row["schema"] == _SCHEMA:
        return str(row["path"])
    raise SettingsError(
        f"The search_path of this session is {row['path']!r}, so that new tables would go to "
        f"{row['schema'] or 'no schema'}, and partman works in the schema public. Nothing was run. "
        "Take the search_path out of the URL, or reset it where it was set: "
        f"ALTER ROLE {row['session_user']} RESET search_path, or ALTER DATABASE … RESET "
        "search_path."
    )
