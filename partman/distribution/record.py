"""What distribute and undistribute have done: the table ``migration_distribution``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.database import bookkeeping

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLE = f"public.{bookkeeping.DISTRIBUTION}"
_CREATE = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    direction text NOT NULL,
    step text NOT NULL,
    statement text NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
);
COMMENT ON TABLE {_TABLE} IS 'What partman distribute and undistribute have done.';
"""


@dataclass(frozen=True)
class Pending:
    """A statement that is left to do after the switch."""

    id: int
    step: str
    statement: str


async def create(connection: "Connection[Record]", owner: str) -> None:
    """Create the table unless it exists, for a role that then can dump it, too."""
    if await connection.fetchval(f"SELECT to_regclass('{_TABLE}')") is None:
        await connection.execute(f"{_CREATE} ALTER TABLE {_TABLE} OWNER TO {owner}")


async def begin(connection: "Connection[Record]", direction: str, step: str, statement: str) -> int:
    """Record that a statement begins; return the ID of its row."""
    return int(
        await connection.fetchval(
            f"INSERT INTO {_TABLE} (direction, step, statement, started_at)"
            " VALUES ($1, $2, $3, clock_timestamp()) RETURNING id",
            direction,
            step,
            statement,
        )
    )


async def plan(connection: "Connection[Record]", direction: str, step: str, statement: str) -> None:
    """Record that a statement has to follow, in the transaction of the switch."""
    await connection.execute(
        f"INSERT INTO {_TABLE} (direction, step, statement) VALUES ($1, $2, $3)",
        direction,
        step,
        statement,
    )


async def finish(connection: "Connection[Record]", row: int) -> None:
    """Record that a statement is done."""
    await connection.execute(
        f"UPDATE {_TABLE} SET started_at = coalesce(started_at, transaction_timestamp()),"
        " finished_at = clock_timestamp() WHERE id = $1",
        row,
    )


async def pending(connection: "Connection[Record]", direction: str) -> list[Pending]:
    """Return the statements that are left to do after the switch, in their order."""
    if await connection.fetchval(f"SELECT to_regclass('{_TABLE}')") is None:
        return []
    rows = await connection.fetch(
        f"SELECT id, step, statement FROM {_TABLE}"
        " WHERE direction = $1 AND started_at IS NULL ORDER BY id",
        direction,
    )
    return [Pending(row["id"], row["step"], row["statement"]) for row in rows]


async def abandon(connection: "Connection[Record]", direction: str) -> None:
    """Forget what was left to do of a direction: the other one makes it void."""
    await connection.execute(
        f"DELETE FROM {_TABLE} WHERE direction = $1 AND started_at IS NULL", direction
    )
