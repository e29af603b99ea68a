"""How far an index build or a VACUUM is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_BUILD = """
SELECT concat_ws(
    ', ',
    phase,
    CASE WHEN blocks_total > 0 THEN format('%s of %s blocks', blocks_done, blocks_total) END,
    CASE WHEN tuples_total > 0 THEN format('%s of %s rows', tuples_done, tuples_total) END,
    CASE WHEN lockers_total > 0 THEN format('%s of %s sessions have ended their transactions%s',
        lockers_done, lockers_total, ', waiting for pid ' || nullif(current_locker_pid, 0)) END
)
FROM pg_catalog.pg_stat_progress_create_index WHERE pid = $1
UNION ALL
SELECT format('%s, %s of %s blocks', phase, heap_blks_scanned, heap_blks_total)
FROM pg_catalog.pg_stat_progress_vacuum WHERE pid = $1
"""


async def build_progress(connection: "Connection[Record]", pid: int) -> str | None:
    """Return in a few words how far a server process is; None if it is at no such work."""
    found: str | None = await connection.fetchval(_BUILD, pid)
    return found
