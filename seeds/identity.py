"""The ids of seeded rows, which alone tell them from all other rows.

They are UUIDs of version 8 (RFC 9562), whose content is free, under one fixed prefix::

    5eed5eed-5eed-8004-802a-000001000011
    |             |  | |  | |     row of its organization (hexadecimal)
    |             |  | |  | organization
    |             |  | 8000 + seed
    |             |  table, in the order of ``rows.ROW_TYPES``, from 1
    the prefix    version 8

``gen_random_uuid()`` makes version 4, so no row that the application adds can ever look
seeded, and a seeded row stays recognisable whatever is edited in it. All of them lie between
FIRST_ID and LAST_ID, which a primary key finds without a scan.
"""

from collections.abc import Iterator
from uuid import UUID

from asyncpg.pgproto import pgproto

from seeds.rows import ROW_TYPES

FIRST_ID = UUID("5eed5eed-5eed-8000-8000-000000000000")
LAST_ID = UUID("5eed5eed-5eed-8fff-bfff-ffffffffffff")

MAX_SEED = 2**14 - 1
MAX_NUMBER = 2**24 - 1
"""The highest number of an organization, and of a row in one table of an organization."""

_POSITIONS = {table: position for position, table in enumerate(ROW_TYPES, start=1)}


def seeded_id(table: str, seed: int, organization: int, row: int) -> UUID:
    """Return the ID of a row of one of ``rows.ROW_TYPES``; all numbers start at 0.

    Raises ValueError for a number that does not fit into the ID.
    """
    return next(seeded_ids(table, seed, organization, range(row, row + 1)))


def seeded_ids(table: str, seed: int, organization: int, rows: range) -> Iterator[UUID]:
    """Yield the IDs of rows, as ``seeded_id`` returns them."""
    if not (0 <= seed <= MAX_SEED and 0 <= organization <= MAX_NUMBER) or (
        rows and not 0 <= rows[0] <= rows[-1] <= MAX_NUMBER
    ):
        raise ValueError(f"does not fit into an ID: {table=}, {seed=}, {organization=}, {rows=}")
    first = FIRST_ID.int | _POSITIONS[table] << 64 | seed << 48 | organization << 24
    for row in rows:
        # A subclass of uuid.UUID, and six times as fast.
        yield pgproto.UUID((first | row).to_bytes(16, "big"))


def is_seeded(row_id: UUID) -> bool:
    """Whether ``seeded_id`` created the ID."""
    return FIRST_ID <= row_id <= LAST_ID


def seed_of(row_id: UUID) -> int:
    """Return the seed of a seeded row."""
    return row_id.int >> 48 & MAX_SEED
