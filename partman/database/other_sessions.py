"""Describe the sessions that are in the way of another one, and how to end them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database.explain import shortened

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Connection, Record

_SHOWN = 3
"""How many sessions a message describes."""

# The sessions of $1, those that they wait for, and so on. pg_blocking_pids has 0 for a prepared
# transaction. ``held`` is what a session holds of that for which another one waits.
_CHAIN = """
WITH RECURSIVE chain AS (
    SELECT $2::int AS waiter, pid FROM unnest($1::text::int[]) AS pid
    UNION
    SELECT chain.pid, blocker FROM chain, unnest(pg_blocking_pids(chain.pid)) AS blocker
    WHERE chain.pid <> 0 AND blocker IS DISTINCT FROM $2::int
),
locks AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks),
held AS (
    SELECT
        held.pid, held.virtualtransaction, string_agg(DISTINCT CASE held.locktype
            WHEN 'relation' THEN held.mode || ' on ' || held.relation::regclass
            WHEN 'virtualxid' THEN 'its transaction open'
            WHEN 'transactionid' THEN 'rows that it has changed' || coalesce((
                SELECT ' in ' || min(rows.relation::regclass::text) FROM locks AS rows
                WHERE rows.pid = wanted.pid AND rows.locktype = 'tuple' AND rows.granted
            ), '')
            ELSE held.mode || ' on ' || held.locktype
        END, chr(10)) AS locks
    FROM locks AS held JOIN locks AS wanted ON wanted.locktype = held.locktype AND (
        held.database, held.relation, held.page, held.tuple, held.virtualxid,
        held.transactionid, held.classid, held.objid, held.objsubid
    ) IS NOT DISTINCT FROM (
        wanted.database, wanted.relation, wanted.page, wanted.tuple, wanted.virtualxid,
        wanted.transactionid, wanted.classid, wanted.objid, wanted.objsubid
    )
    WHERE held.granted AND NOT wanted.granted AND wanted.pid IN (SELECT waiter FROM chain)
    GROUP BY held.pid, held.virtualtransaction
)
"""

_SESSIONS = f"""{_CHAIN}
SELECT
    activity.pid AS pid,
    activity.usename AS owner,
    coalesce(activity.application_name, '') AS application,
    host(activity.client_addr) AS address,
    coalesce(activity.state, '') AS state,
    extract(epoch FROM clock_timestamp() - CASE
        WHEN activity.state = 'active' THEN activity.query_start ELSE activity.state_change
    END)::float8 AS seconds,
    activity.xact_start AT TIME ZONE 'UTC' AS begun,
    extract(epoch FROM clock_timestamp() - activity.xact_start)::float8 AS open_for,
    activity.query AS statement,
    (SELECT locks FROM held WHERE held.pid = activity.pid LIMIT 1) AS locks,
    array_to_string(pg_blocking_pids(activity.pid), ',') AS waits_for,
    activity.query = '<insufficient privilege>' AS is_hidden,
    activity.backend_type = 'autovacuum worker' OR activity.usename IS NULL AND vacuum.pid IS NOT
        NULL AS is_autovacuum,
    vacuum.phase || ', ' || vacuum.heap_blks_scanned || ' of ' || vacuum.heap_blks_total
        || ' blocks' AS progress,
    quote_ident(current_user) AS me,
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
        OR NOT coalesce((SELECT rolsuper FROM pg_catalog.pg_roles r WHERE r.oid = usesysid), true)
        AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')) AS may_end
FROM pg_catalog.pg_stat_activity AS activity
LEFT JOIN pg_catalog.pg_stat_progress_vacuum AS vacuum USING (pid)
WHERE activity.pid IN (SELECT pid FROM chain)
ORDER BY cardinality(pg_blocking_pids(activity.pid)) > 0, activity.xact_start
"""

_PREPARED = f"""{_CHAIN}
SELECT quote_literal(gid) AS name, owner, prepared AT TIME ZONE 'UTC' AS begun,
    extract(epoch FROM clock_timestamp() - prepared)::float8 AS open_for, held.locks
FROM held
JOIN locks AS own ON own.pid IS NULL AND own.locktype = 'transactionid'
    AND own.virtualtransaction = held.virtualtransaction
JOIN pg_catalog.pg_prepared_xacts ON transaction = own.transactionid
WHERE held.pid IS NULL AND pg_prepared_xacts.database = current_database()
ORDER BY prepared
"""


@dataclass(frozen=True)
class Obstacle:
    """A session, or a prepared transaction, that another session waits for."""

    name: str
    """What it is, and nothing that changes while it is in the way."""
    facts: tuple[str, ...]
    """What is known of it, each a few words."""
    end: str
    """The statement that ends it; nothing where that is no remedy."""
    waits: bool = False
    """Whether it waits for another session itself."""
    hint: str = ""
    """What else a person has to know, as sentences."""
    pid: int = 0

    def __str__(self) -> str:
        return ", ".join((self.name, *self.facts))


async def obstacles_of(connection: "Connection[Record]", pid: int) -> tuple[Obstacle, ...]:
    """Return what a server process waits for: first what does not wait itself."""
    # No arrays: before the first one, the driver calls set_config, which a role may not be allowed.
    text = await connection.fetchval("SELECT array_to_string(pg_blocking_pids($1), ',')", pid)
    return await obstacles(connection, pids_of(text), pid) if text else ()


async def obstacles(
    connection: "Connection[Record]", pids: Sequence[int], waiter: int | None = None
) -> tuple[Obstacle, ...]:
    """Return these sessions and those that they wait for: first what does not wait itself."""
    seeds = f"{{{','.join(map(str, pids))}}}"
    rows = await connection.fetch(_SESSIONS, seeds, waiter)
    found = [_session(row, waiter) for row in rows]
    if 0 in pids or any(0 in pids_of(row["waits_for"]) for row in rows):
        prepared = await connection.fetch(_PREPARED, seeds, waiter)
        found = [*map(_prepared, prepared), *found]
    return tuple(found)


def pids_of(text: str | None) -> list[int]:
    """Return the numbers of a text such as ``1,2``."""
    return [int(pid) for pid in (text or "").split(",") if pid]


def in_the_way(found: Sequence[Obstacle]) -> str:
    """Return sentences that describe sessions and say how to end them."""
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    described = "; ".join(map(str, found[:_SHOWN]))
    return f"In the way: {described}{more}. {how_to_end(found)}"


def how_to_end(found: Sequence[Obstacle]) -> str:
    """Return how to end those of the sessions that do not wait themselves, as sentences."""
    ends = [each.end for each in found if each.end and not each.waits]
    hints = list(dict.fromkeys(each.hint for each in found if each.hint))
    if ends:
        whom = "it, which rolls its" if len(ends) == 1 else "them, which rolls their"
        hints.insert(0, f"To end {whom} work back: {' '.join(ends)}")
    return " ".join(hints)


def _session(row: "Record", waiter: int | None) -> Obstacle:
    facts = [f"user {row['owner']}"] if row["owner"] else []
    if row["address"]:
        facts.append(f"from {row['address']}")
    hints = []
    if row["is_hidden"]:
        facts.append("its state and statement are hidden")
        hints.append(f"To see what it does: GRANT pg_read_all_stats TO {row['me']};")
    elif row["state"]:
        facts.append(f"{row['state']} for {_duration(row['seconds'])}")
    facts += _since("transaction", row)
    facts += _held(row)
    waits_for = pids_of(row["waits_for"])
    facts += [f"waiting for {_named(pid)}" for pid in waits_for]
    if row["progress"]:
        facts.append(row["progress"])
    if not row["is_hidden"] and row["statement"]:
        kind = "statement" if row["state"] == "active" else "last statement"
        facts.append(f"{kind}: {shortened(row['statement'], 80)}")
    end = f"SELECT pg_terminate_backend({row['pid']});"
    name = f"{_named(row['pid'])} ({row['application'] or 'no application name'})"
    if row["is_autovacuum"]:
        name, end = f"{_named(row['pid'])} (autovacuum)", ""
        hints.append(
            "Autovacuum gives way by itself after a second, except to prevent wraparound: then let "
            "it finish."
        )
    elif not row["may_end"]:
        hints.append("Ending it needs a superuser, its role, or a member of pg_signal_backend.")
    waits = not {waiter}.issuperset(waits_for)
    return Obstacle(name, tuple(facts), end, waits=waits, hint=" ".join(hints), pid=row["pid"])


def _prepared(row: "Record") -> Obstacle:
    facts = [f"user {row['owner']}", *_since("", row)]
    facts += _held(row)
    end = f"ROLLBACK PREPARED {row['name']};"
    return Obstacle(f"the prepared transaction {row['name']}", tuple(facts), end)


def _held(row: "Record") -> list[str]:
    return [f"holding {_words(lock)}" for lock in (row["locks"] or "").splitlines()]


def _named(pid: int) -> str:
    return f"pid {pid}" if pid else "a prepared transaction"


def _since(what: str, row: "Record") -> list[str]:
    begun: datetime | None = row["begun"]
    if begun is None:
        return []
    return [f"{what} open since {begun:%H:%M:%S} UTC ({_duration(row['open_for'])})".lstrip()]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(0, seconds):.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _words(lock: str) -> str:
    """Return ``access share on t`` for ``AccessShareLock on t``."""
    mode, _, rest = lock.partition(" ")
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).lower()
    return f"{spaced} {rest}" if mode.endswith("Lock") else lock
