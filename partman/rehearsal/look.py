"""Look at a session's locks and counters, and at the files of its tables, between statements."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from partman.database import bookkeeping
from partman.plan.state import HeldLock, read_locks

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# In the session of the migration: the counters are its own, and it alone sees its new files.
# An index is counted for its table.
_TABLES = f"""
SELECT c.oid, c.oid::regclass::text AS name, format('%I.%I', n.nspname, c.relname) AS sql,
    i.indrelid AS table, c.relfilenode AS filenode,
    CASE WHEN i.indexrelid IS NULL THEN pg_stat_get_xact_tuples_returned(c.oid) ELSE 0 END
        + pg_stat_get_xact_tuples_fetched(c.oid) AS read,
    pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
    pg_stat_get_xact_tuples_updated(c.oid) AS updated,
    pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'i', 'I') AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\\_%'
    AND coalesce(t.relname, c.relname) NOT IN {bookkeeping.ALL_TABLES}
"""

# Over another connection: a migration may have taken a role that may not ask this.
_METERS = """
SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint AS wal,
    pg_catalog.pg_database_size(current_database()) AS size
"""

Counted = dict[int, int]
"""Numbers of rows, by the table's OID."""

_AGE = "SELECT extract(epoch FROM clock_timestamp() - now())::float8"


class Stopwatch:
    """A clock that stands still while the rehearsal itself asks the server."""

    def __init__(self) -> None:
        self.stood = 0.0
        """For how many seconds it stood still."""

    def now(self) -> float:
        """Return the seconds."""
        return time.perf_counter() - self.stood

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still for the duration of a block."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.stood += time.perf_counter() - before


@dataclass(frozen=True)
class Relation:
    """A table or an index, and what the session has done with its rows since it connected."""

    oid: int
    name: str
    sql: str
    """With its schema."""
    table: int | None
    """OID of the table of an index; None for a table."""
    filenode: int
    read: int
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Look:
    """What a session holds and has done."""

    relations: dict[int, Relation]
    locks: frozenset[HeldLock]
    wal: int
    size: int
    age: float = 0.0
    """Seconds since its transaction began."""


@dataclass(frozen=True)
class Counts:
    """What a statement did with the rows of one table."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    rewritten: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.read + other.read,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.deleted + other.deleted,
            self.rewritten + other.rewritten,
        )

    @property
    def touched(self) -> int:
        """How many rows in all."""
        return self.read + self.inserted + self.updated + self.deleted + self.rewritten


async def look(
    connection: "Connection[Record]", meters: "Connection[Record]", pid: int | None = None
) -> Look:
    """Look at the session of a connection; ``meters`` is another one to the same database.

    With ``pid``, look at that session instead, which knows only its locks.
    """
    rows = await connection.fetch(_TABLES)
    locks, _ = await read_locks(meters, pid or connection.get_server_pid())
    wal, size = await meters.fetchrow(_METERS)  # type: ignore[misc]
    age = await connection.fetchval(_AGE) if connection.is_in_transaction() else 0.0
    return Look({row["oid"]: Relation(**row) for row in rows}, frozenset(locks), wal, size, age)


def counts_between(before: Look, after: Look, rewritten: Counted) -> dict[int, Counts]:
    """Return what was done to the rows of the tables that there were before, by OID.

    ``rewritten``: how many rows were, of those with a new file.
    """
    found = {oid: Counts(rewritten=rows) for oid, rows in rewritten.items()}
    for oid, now in after.relations.items():
        was, table = before.relations.get(oid), now.table or oid
        if table not in before.relations:
            continue
        counts = Counts(
            now.read - (was.read if was else 0),
            *(
                (
                    now.inserted - was.inserted,
                    now.updated - was.updated,
                    now.deleted - was.deleted,
                )
                if was and now.table is None
                else ()
            ),
        )
        found[table] = found.get(table, Counts()) + counts
    return {oid: counts for oid, counts in found.items() if counts.touched > 0}


def with_new_file(before: Look, after: Look) -> list[Relation]:
    """Return the tables that a statement gave a new file."""
    return [
        now
        for oid, now in after.relations.items()
        if now.table is None and now.filenode and (was := before.relations.get(oid)) is not None
        if was.filenode != now.filenode
    ]


async def count_rows(connection: "Connection[Record]", relations: Iterable[Relation]) -> Counted:
    """Return the numbers of rows of tables, by OID, without those that cannot be read."""
    found = {}
    for relation in relations:
        # The migration may have taken a role that may not read it.
        await connection.execute("SAVEPOINT partman_count")
        try:
            found[relation.oid] = await connection.fetchval(
                f"SELECT count(*) FROM ONLY {relation.sql}"
            )
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK TO SAVEPOINT partman_count")
        await connection.execute("RELEASE SAVEPOINT partman_count")
    return found


@dataclass
class OpenTransaction:
    """A transaction of the migration, as far as it was seen."""

    started: float
    """By the stopwatch."""
    acquired: dict[HeldLock, float] = field(default_factory=dict)
    """When each lock was taken, or a moment before."""

    def note(self, locks: frozenset[HeldLock], when: float) -> set[HeldLock]:
        """Note locks that were not there before; return those."""
        new = {lock for lock in locks if lock not in self.acquired}
        self.acquired.update(dict.fromkeys(new, when))
        return new
