"""Another session: what a migration meets on a database that is in use."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg

from partman.migration.ledger.lock import CLASS_ID
from tests.faults.processes import DEADLINE, wait_until
from tests.support import Database, administrator, query, server_url, with_database

T = TypeVar("T")

TAKE_THE_MIGRATION_LOCK = f"""
    SELECT pg_advisory_lock(({CLASS_ID}::bigint << 32) | oid::bigint)
    FROM pg_database WHERE datname = current_database()
"""
"""As docs and lock.py describe the key."""


class Session:
    """A connection that stays open while the test does something else."""

    def __init__(self, url: str, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: asyncpg.Connection[asyncpg.Record] = self._do(
            asyncpg.connect(url, server_settings={"application_name": name})
        )
        self.pid = self._connection.get_server_pid()

    def execute(self, sql: str) -> None:
        self._do(self._connection.execute(sql))

    def close(self) -> None:
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)


@contextmanager
def session(url: str, *statements: str, name: str = "the test") -> Iterator[Session]:
    """Connect, run the statements, and stay for the duration of the block."""
    connected = Session(url, name)
    try:
        for statement in statements:
            connected.execute(statement)
        yield connected
    finally:
        connected.close()


def activity(url: str, condition: str) -> list[int]:
    """The server processes of a database's sessions of which the condition is true.

    It is asked again and again: where it can, without a connection to the database.
    """
    name = Database(url).name
    sql = f"SELECT pid FROM pg_stat_activity WHERE datname = $1 AND {condition}"
    is_here = with_database(server_url(), name) == url
    rows = administrator().ask(sql, name) if is_here else query(url, sql, name)
    return [row["pid"] for row in rows]


def waiting(url: str) -> list[int]:
    """The server processes of runs that are queueing for a lock."""
    return activity(url, "wait_event_type = 'Lock' AND application_name LIKE 'partman %'")


def wait_for_a_waiting_run(url: str, *, besides: int = 0) -> int:
    """Return the server process of a run that queues for a lock, as soon as there is one."""

    def find() -> list[int]:
        return [pid for pid in waiting(url) if pid != besides]

    return wait_until(find, "a run waited for a lock")[0]


def is_connected(url: str, pid: int) -> bool:
    return bool(activity(url, f"pid = {pid}"))
