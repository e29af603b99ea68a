"""What statements outside of transactions leave behind when they fail or are killed.

They are found by comparing the catalog before and after, so it does not matter how a statement is
written: an invalid index of a build or a REINDEX, a partition that is half detached.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import server_message
from partman.migration.runner.waiting import LOCK_TIMEOUT_MS, Waiting

if TYPE_CHECKING:
    from asyncpg import Connection, Record

CLEANING = 5.0
"""Seconds for which a failed statement tries to get the locks to remove what it has left."""

# Lists are sent and read as JSON: the driver would look up an array type with set_config, which not
# every role may call.
_CATALOG = """
SELECT json_build_object(
    'invalid', ARRAY(SELECT indexrelid::bigint FROM pg_catalog.pg_index
                     JOIN pg_catalog.pg_class c ON c.oid = indexrelid
                     WHERE NOT indisvalid AND c.relkind = 'i' ORDER BY 1),
    'detaching', ARRAY(SELECT inhrelid::bigint FROM pg_catalog.pg_inherits
                       WHERE inhdetachpending ORDER BY 1),
    'indexes', ARRAY(SELECT indexrelid::bigint FROM pg_catalog.pg_index
                     WHERE indrelid = to_regclass($1) ORDER BY 1)
)::text
"""

# Not those of tables on which another session builds, reindexes or alters something right now.
_NAMES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.oid IN (SELECT value::oid FROM json_array_elements_text($1::text::json)) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.pid <> pg_backend_pid()
        AND l.granted AND l.mode IN ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
        AND l.database = (SELECT oid FROM pg_catalog.pg_database
                          WHERE datname = current_database())
)
ORDER BY 1
"""

_FINALIZE = """
SELECT format(
    'ALTER TABLE %s DETACH PARTITION %s FINALIZE', inhparent::regclass, inhrelid::regclass
)
FROM pg_catalog.pg_inherits WHERE inhdetachpending
    AND inhrelid IN (SELECT value::oid FROM json_array_elements_text($1::text::json))
ORDER BY 1
"""


@dataclass(frozen=True)
class CatalogState:
    """What the catalog has of such things, as OIDs."""

    invalid: tuple[int, ...]
    """Invalid indexes."""
    detaching: tuple[int, ...]
    """Partitions that are half detached."""
    indexes: tuple[int, ...]
    """All indexes of the table that the statement is about."""

    @property
    def as_json(self) -> str:
        """The value as text, for the step's record."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "CatalogState":
        """Return the value of a step's record."""
        return cls(**{name: tuple(oids) for name, oids in json.loads(text).items()})


async def read_catalog(connection: "Connection[Record]", table: str = "") -> CatalogState:
    """Read the catalog; ``table`` is the one that the statement is about, as SQL names it."""
    return CatalogState.from_json(await connection.fetchval(_CATALOG, table or None))


async def remove_new(
    connection: "Connection[Record]",
    before: CatalogState,
    table: str,
    waiting: Waiting,
    *,
    patience: float,
) -> list[str]:
    """Drop the indexes that are invalid since ``before``, and finish what is half detached.

    ``patience`` is how many seconds it tries again for a lock. Returns the statements that would
    be needed for what could not be removed, each with the reason.
    """
    now = await read_catalog(connection, table)
    names = await connection.fetch(_NAMES, _new(now.invalid, before.invalid))
    statements = [f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for (name,) in names]
    rows = await connection.fetch(_FINALIZE, _new(now.detaching, before.detaching))
    statements += [statement for (statement,) in rows]
    left = []
    for statement in statements:
        try:
            await _run_patiently(connection, statement, waiting, patience)
        except asyncpg.PostgresError as error:
            left.append(f"{statement}; ({server_message(error)})")
    return left


async def finalize(
    connection: "Connection[Record]", partition: str, waiting: Waiting, *, patience: float
) -> bool:
    """Finish detaching a partition that is half detached; return whether there was that to do.

    Raises asyncpg.LockNotAvailableError if it has not got its locks after ``patience`` seconds.
    """
    oid = await connection.fetchval("SELECT to_regclass($1)::oid::bigint", partition)
    rows = await connection.fetch(_FINALIZE, json.dumps([oid] if oid else []))
    for (statement,) in rows:
        await _run_patiently(connection, statement, waiting, patience)
    return bool(rows)


async def _run_patiently(
    connection: "Connection[Record]", statement: str, waiting: Waiting, patience: float
) -> None:
    """Run a statement that locks out others, who queue up behind it only for a moment."""
    await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}; SET statement_timeout = 0")
    await waiting.patiently(patience, partial(connection.execute, statement))


def _new(now: Iterable[int], before: Iterable[int]) -> str:
    return json.dumps(sorted(set(now) - set(before)))
