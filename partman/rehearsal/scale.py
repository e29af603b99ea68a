"""Estimate a statement's time on all rows from its time on a sample.

Three things make a sample faster, row by row, than the whole. An index has fewer levels, and fits
into the cache. What a small statement changes is still in memory when it ends, where a large one
waits for the disk. And the first change of a page after a checkpoint writes the whole page to the
WAL: on a copy that was just made, no checkpoint has come since. So checkpoints surround each
statement that writes much, and the time of the one after it counts as its own.
"""

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ONE_PAGE = 1000
"""Entries of an index among which finding one costs nothing that grows."""


@dataclass(frozen=True)
class Scale:
    """How many of the rows of a table a sample has."""

    copied: int
    total: int

    @property
    def factor(self) -> float:
        """How many times longer a statement takes on all rows: by n log n, as sorting does."""
        if not 0 < self.copied < self.total:
            return 1.0
        levels = math.log(self.total + _ONE_PAGE) / math.log(self.copied + _ONE_PAGE)
        return self.total / self.copied * levels


async def write_out(connection: "Connection[Record]") -> float:
    """Let the server write what is only in its memory; return the seconds, 0 if it may not."""
    if not await _may_write_out(connection):
        return 0.0
    started = perf_counter()
    try:
        await connection.execute("CHECKPOINT")
    except asyncpg.PostgresError:  # the copy is measured without it
        return 0.0
    return perf_counter() - started


async def lacks_checkpoint(connection: "Connection[Record]") -> list[str]:
    """Return the note that times will be told too low, if they will."""
    if await _may_write_out(connection):
        return []
    role = await connection.fetchval("SELECT quote_ident(current_user)")
    return [
        f"{role} may not run CHECKPOINT, so the times that are estimated from the sample leave out "
        f"most of the writing. An administrator can allow it: GRANT pg_checkpoint TO {role}"
    ]


async def _may_write_out(connection: "Connection[Record]") -> bool:
    return bool(await connection.fetchval("SELECT pg_has_role('pg_checkpoint', 'USAGE')"))
