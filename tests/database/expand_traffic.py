"""Old and new code that write the same rows while their columns change."""

import asyncio
import time
from dataclasses import dataclass, field

import asyncpg

RECONNECTS = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.DatatypeMismatchError,
    asyncpg.UndefinedFunctionError,
)
"""What a statement that was prepared before the swap may meet: then a pool connects again."""


@dataclass
class Client:
    """One client, which writes rows of its own and remembers what was acknowledged."""

    url: str
    number: int
    insert: str
    update: str
    written: dict[int, tuple[int, str]] = field(default_factory=dict)
    worst: float = 0.0
    """The longest time that a statement took, in seconds."""
    reconnected: int = 0
    stopping: bool = False

    async def work(self) -> None:
        """Insert and update rows until told to stop."""
        connection = await asyncpg.connect(self.url)
        turn = 0
        while not self.stopping:
            turn += 1
            key = self.number * 1_000_000 + turn % 50
            values = (key, turn, ("new", "open", "gone")[turn % 3])
            statement = self.update if key in self.written else self.insert
            started = time.monotonic()
            try:
                await connection.execute(statement, *values)
            except RECONNECTS:
                self.reconnected += 1
                await connection.close()
                connection = await asyncpg.connect(self.url)
                continue
            self.worst = max(self.worst, time.monotonic() - started)
            self.written[key] = values[1:]
            await asyncio.sleep(0.001)
        await connection.close()


OLD = (
    "INSERT INTO item (maker, required, code, plain, status) VALUES (1, $1, $1, $2, $3)",
    "UPDATE item SET plain = $2, status = $3 WHERE code = $1",
)
NEW = (
    "INSERT INTO item (maker, required, code, plain, status)"
    " VALUES (1, $1::bigint, $1, $2::bigint, $3::item_status)",
    "UPDATE item SET plain = $2::bigint, status = $3::item_status WHERE code = $1::bigint",
)


def clients(url: str, each: int) -> list[Client]:
    """Return so many clients of the old code, and as many of the new code."""
    return [Client(url, number, *(OLD if number % 2 else NEW)) for number in range(1, 2 * each + 1)]


async def lost(connection: "asyncpg.Connection[asyncpg.Record]", of: list[Client]) -> list[int]:
    """Return the keys of rows that do not have what was acknowledged last."""
    rows = await connection.fetch("SELECT code, plain, status::text FROM item")
    found = {row[0]: (row[1], row[2]) for row in rows}
    return [
        key for client in of for key, values in client.written.items() if found.get(key) != values
    ]
