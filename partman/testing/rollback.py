"""One connection for everything that a test does, in a transaction that is rolled back.

What the code under test commits is a savepoint that is released. The connection lives in an event
loop of its own, because the test, its fixtures and a test client may each have another one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from partman.database.connection import connect
from partman.errors import PartmanError
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.settings import Settings
from partman.testing.loop import BackgroundLoop

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds in which the code that uses the connection must return it."""


class ConnectionInUseError(PartmanError):
    """Two parts of a rollback test need the one connection at the same time."""


class RollbackPool:
    """Stands in for the engine's pool: it has one connection, which is in a transaction."""

    def __init__(self, loop: BackgroundLoop, connection: "Connection[Record]", reset: str) -> None:
        self._loop = loop
        self._connection = connection
        self._reset = reset
        """SQL that puts back the role and the tenant with which the connection started."""
        self._turn = asyncio.Lock()
        self.lease: Lease | None = None
        """What uses the connection now."""

    def acquire(self, **_: Any) -> "_Acquisition":
        """Return the connection: await it, or enter it as a block."""
        return _Acquisition(self)

    async def take(self) -> "Lease":
        """Wait for the connection. Raises ConnectionInUseError."""
        try:
            await self._loop.awaited(asyncio.wait_for(self._turn.acquire(), _PATIENCE))
        except TimeoutError:
            raise ConnectionInUseError(
                f"The test's connection was not free for {_PATIENCE:g} s: a rollback test has only "
                "one, and another block still uses it. Nothing was run. Leave that block first, or "
                "mark the test: @pytest.mark.partman_database('clone')"
            ) from None
        self.lease = Lease(self, self._loop, self._connection, self._reset)
        return self.lease

    async def release(self, lease: "Lease", **_: Any) -> None:
        """Take the connection back; undo a block that was left open."""
        if lease is self.lease:
            await self._loop.awaited(self.pass_on(lease))

    async def pass_on(self, lease: "Lease") -> None:
        """Undo what the lease left open; let the next one have the connection.

        Runs in the connection's loop.
        """
        if lease is self.lease:
            try:
                await lease.exclusively(lease.undo())
            finally:
                self.lease = None
                self._turn.release()

    def get_max_size(self) -> int:
        """Return the number of connections."""
        return 1

    async def close(self) -> None:
        """Do nothing: the connection belongs to the test."""

    def terminate(self) -> None:
        """Do nothing: the connection belongs to the test."""


class _Acquisition:
    """The result of ``acquire()``."""

    def __init__(self, pool: RollbackPool) -> None:
        self._pool = pool
        self._lease: Lease | None = None

    def __await__(self) -> Generator[Any, None, "Lease"]:
        return self._pool.take().__await__()

    async def __aenter__(self) -> "Lease":
        self._lease = await self._pool.take()
        return self._lease

    async def __aexit__(self, *_: object) -> None:
        if self._lease is not None:
            await self._pool.release(self._lease)


class Lease:
    """The connection, for one that uses it. It offers what the driver's connection does.

    A statement outside of a transaction is in a savepoint, as it would be a transaction of its own.
    """

    def __init__(
        self,
        pool: RollbackPool,
        loop: BackgroundLoop,
        connection: "Connection[Record]",
        reset: str,
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._connection = connection
        self._reset = reset
        self._busy = asyncio.Lock()
        self._depth = 0
        """Number of transactions that were begun and have not ended."""

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> str:
        """Run SQL; one that begins or ends a transaction does so with a savepoint."""
        first, _, rest = sql.partition(";")
        match first.strip().upper():
            case "BEGIN":
                await self.run(self.begin())
                return str(await self.run(self._connection.execute(rest or "--")))
            case "COMMIT":
                return await self.run(self.commit())
            case "ROLLBACK":
                await self.run(self.undo())
                return "ROLLBACK"
        return str(await self._alone(lambda: self._connection.execute(sql, *arguments, **options)))

    def __getattr__(self, name: str) -> Any:
        """Return the driver's method; one that talks to the server runs in the other loop."""
        found = getattr(self._connection, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **options: Any) -> Any:
            result = await self._alone(lambda: found(*arguments, **options))
            is_prepared = isinstance(result, asyncpg.prepared_stmt.PreparedStatement)
            return _Prepared(self, result) if is_prepared else result

        return call

    def transaction(self, **_: Any) -> "_Transaction":
        """Return a transaction: a savepoint."""
        return _Transaction(self)

    async def close(self) -> None:
        """Return the connection, as one that no pool has given."""
        await self._pool.release(self)

    def terminate(self) -> None:
        """Undo what was begun; the connection itself stays."""
        self._loop.begin(self._pool.pass_on(self))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop of the connection."""
        return await self._loop.awaited(self.exclusively(work))

    async def exclusively(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine when the server has answered what was sent before.

        A statement that was cancelled takes a moment to end.
        """
        async with self._busy:
            return await work

    async def begin(self) -> None:
        """Begin a transaction. Runs in the connection's loop, as the two below."""
        await self._connection.execute("SAVEPOINT partman_test")
        self._depth += 1

    async def commit(self) -> str:
        """End a transaction; return what the server would: ROLLBACK after an error."""
        if not self._depth:
            return "COMMIT"
        try:
            await self._connection.execute("RELEASE SAVEPOINT partman_test")
        except asyncpg.InFailedSQLTransactionError:
            await self.undo()
            return "ROLLBACK"
        await self._ended()
        return "COMMIT"

    async def undo(self) -> None:
        """Undo a transaction, if one was begun."""
        if self._depth:
            await self._connection.execute(
                "ROLLBACK TO SAVEPOINT partman_test; RELEASE SAVEPOINT partman_test"
            )
            await self._ended()

    async def _ended(self) -> None:
        self._depth -= 1
        if not self._depth:
            await self._connection.execute(self._reset)

    async def _alone(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run one statement: in the transaction that was begun, or as one of its own."""

        async def in_savepoint() -> T:
            if self._depth:
                return await work()
            await self.begin()
            try:
                result = await work()
            except BaseException:
                await self.undo()
                raise
            await self.commit()
            return result

        return await self.run(in_savepoint())


class _Prepared:
    """A prepared statement, whose methods run in the connection's loop."""

    def __init__(self, lease: Lease, statement: Any) -> None:
        self._lease = lease
        self._statement = statement

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._statement, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            result = found(*arguments, **options)
            return self._lease.run(result) if asyncio.iscoroutine(result) else result

        return call


class _Transaction:
    """What ``connection.transaction()`` returns."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def start(self) -> None:
        """Begin it."""
        await self._lease.run(self._lease.begin())

    async def commit(self) -> None:
        """End it."""
        await self._lease.run(self._lease.commit())

    async def rollback(self) -> None:
        """Undo it."""
        await self._lease.run(self._lease.undo())

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await (self.commit() if error is None else self.rollback())


@asynccontextmanager
async def rollback_pool(
    loop: BackgroundLoop, settings: Settings, tenancy: Tenancy | None
) -> AsyncIterator[RollbackPool]:
    """Connect as the application, and roll back at the end. Runs in the background loop."""
    connection = await connect(settings, application_name="partman: a test")
    try:
        role = await connection.fetchval("SELECT current_setting('role')")
        reset = f"SET LOCAL ROLE {'NONE' if role == 'none' else literal(role)}"
        if tenancy is not None:
            reset += f"; SET LOCAL {tenancy.setting} = ''"
        await connection.execute("BEGIN")
        yield RollbackPool(loop, connection, reset)
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.execute("ROLLBACK")
        connection.terminate()


@asynccontextmanager
async def owner_lease(
    pool: RollbackPool, owner: str | None, is_in_block: Callable[[], bool]
) -> AsyncIterator[Lease]:
    """Use the connection as the owner for the duration of a block, also in a tenant's block.

    ``owner`` is the role; None: the login.
    """
    become = f"SET LOCAL ROLE {literal(owner) if owner else 'NONE'}"
    if not is_in_block() or (lease := pool.lease) is None:
        async with pool.acquire() as lease, lease.transaction():
            await lease.execute(become)
            yield lease
        return
    role = await lease.fetchval("SELECT current_setting('role')")
    await lease.execute(become)
    try:
        yield lease
    finally:
        # After an error the block's own rollback puts it back.
        with suppress(asyncpg.InFailedSQLTransactionError):
            await lease.execute(f"SET LOCAL ROLE {literal(role)}")
