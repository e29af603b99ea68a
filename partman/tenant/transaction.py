"""What Piccolo gets inside of a ``tenant()`` block instead of its own transaction and batch."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, NoReturn

import asyncpg
from piccolo.engine.postgres import AsyncBatch, PostgresTransaction

from partman.database.engine import DatabaseEngine
from partman.errors import TenantLeavingError, TenantNestingError
from partman.tenant.connection import TenantConnection
from partman.tenant.tenant_id import TenantId, shown
from partman.tenant.yields import abandoned, refuse_around_yield


class TenantTransaction(PostgresTransaction):
    """A transaction in which only one tenant's rows can be reached."""

    engine: DatabaseEngine
    connection: TenantConnection

    def __init__(
        self,
        engine: DatabaseEngine,
        tenant_id: TenantId,
        connect: Callable[[], Awaitable[TenantConnection]],
        open_blocks: set["TenantTransaction"],
    ) -> None:
        super().__init__(engine)
        self._connect = connect
        self._open_blocks = open_blocks
        self._parent = None  # whether there is one is decided when the block is entered
        self.tenant_id = tenant_id
        self._entered = False
        self._cursors = 0

    async def __aenter__(self) -> "TenantTransaction":
        """Begin, or join the same tenant's. Raises PartmanError."""
        if self._entered:
            raise TenantNestingError(
                "This tenant() was entered before. Call tenant() anew for each block."
            )
        self._entered = True
        self._parent = self._surrounding()
        if self._parent is not None:
            return self._parent
        refuse_around_yield()
        connection = await self._connect()
        await connection.begin(self.tenant_id)
        self.connection = connection
        self.loop, self.thread = asyncio.get_running_loop(), threading.get_ident()
        self._open_blocks.add(self)
        self.context = self.engine.current_transaction.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Commit, or roll back if there is an error. Raises PartmanError."""
        if self._parent is not None:
            return False
        try:
            await self.end(error)
        finally:
            self.leave()
        if isinstance(error, GeneratorExit):
            raise abandoned(trace) from error
        return False

    async def end(self, error: BaseException | None = None) -> None:
        """Commit, or roll back if there is an error; queries that follow raise TenantOverError.

        A block that has joined another one leaves that to it. Raises as leaving the block does.
        """
        if self._parent is None and not self.connection.over:
            self._open_blocks.discard(self)
            await (self.connection.commit() if error is None else self.connection.roll_back())

    def leave(self) -> None:
        """Go on outside of the block, which has ended."""
        if self._parent is None:
            try:  # noqa: SIM105 -- suppress() would take longer than the rest
                self.engine.current_transaction.reset(self.context)
            except ValueError:  # left in another context: there it was never set
                pass

    @property
    def over(self) -> bool:
        """Whether the block has ended: a task that was started in it may go on."""
        return self.connection.over

    @property
    def routed_tenant(self) -> TenantId | None:
        """The tenant that queries must name: isolation/routing.py. None on a single server."""
        return self.tenant_id if self.connection.is_distributed else None

    @property
    def serves_other_loops(self) -> bool:
        """Whether it is the block of code without an event loop, and still open."""
        return not self.over and self.connection.serves_other_loops

    async def commit(self) -> NoReturn:
        """Refuse: whatever came after it would not be the tenant's."""
        raise _is_the_blocks("commit")

    async def rollback(self) -> NoReturn:
        """Refuse: whatever came after it would not be the tenant's."""
        raise _is_the_blocks("rollback")

    def new_cursor(self) -> str:
        """Return a name that no other cursor of the block has."""
        self._cursors += 1
        return f"partman_batch_{self._cursors}"

    def _surrounding(self) -> "TenantTransaction | None":
        """Return the block of the same tenant that we are in; None outside of any transaction."""
        current = self.engine.current_transaction.get()
        if self.engine.in_migration:
            raise TenantNestingError(
                "tenant() cannot be used in a migration: that works on all tenants, and "
                "as the owner. Nothing was run. Write its statements with add_sql."
            )
        if current is None:
            return None
        if not isinstance(current, TenantTransaction):
            raise TenantNestingError(
                "tenant() was entered in a transaction that is not a tenant's. Nothing was run. "
                "tenant() is a transaction itself: take it in place of the other one."
            )
        if current.over:
            return None
        current.connection.refuse_other_loop()
        return self.join(current)

    def join(self, current: "TenantTransaction") -> "TenantTransaction":
        """Return the block that we are in. Raises TenantNestingError if it is another tenant's."""
        if current.tenant_id != self.tenant_id:
            raise TenantNestingError(
                f"tenant({shown(self.tenant_id)}) was entered inside of "
                f"tenant({shown(current.tenant_id)}). "
                "Nothing was run. One block is one tenant's: leave the first before you enter the "
                "second."
            )
        return current


class TenantBatch(AsyncBatch):
    """Rows in portions, over the tenant's own connection.

    The driver's cursors want a transaction that the driver began, so this is one in SQL.
    """

    def __init__(self, transaction: TenantTransaction, query: Any, batch_size: int) -> None:
        super().__init__(transaction.connection, query, batch_size)  # type: ignore[arg-type]
        self._connection = transaction.connection
        self._name = transaction.new_cursor()

    async def __aenter__(self) -> "TenantBatch":
        """Open the cursor."""
        sql, arguments = self.query.querystrings[0].compile_string()
        await self._connection.fetch(f"DECLARE {self._name} NO SCROLL CURSOR FOR {sql}", *arguments)
        # Prepared for this cursor alone: the driver's cache would give it another one's columns.
        fetch = f"FETCH FORWARD {self.batch_size} FROM {self._name}"
        self._fetch = await self._connection.run(lambda raw: raw.prepare(fetch))
        return self

    async def next(self) -> list[dict[str, Any]]:
        """Return the next rows; none at the end."""
        rows = await self._connection.run(lambda _: self._fetch.fetch())
        processed: list[dict[str, Any]] = await self.query._process_results(rows)  # noqa: SLF001
        return processed

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Close the cursor; the connection stays with the tenant."""
        if error is None:
            await self._close()
        elif isinstance(error, Exception):
            with suppress(asyncpg.PostgresError):  # the error has ended the transaction, too
                await self._close()
        return False

    async def _close(self) -> None:
        await self._connection.fetch(f"CLOSE {self._name}")


def _is_the_blocks(what: str) -> TenantLeavingError:
    return TenantLeavingError(
        f"{what}() inside of tenant() would leave the tenant, and what comes after it would run "
        "outside. Nothing was sent. The block commits when it ends, and rolls back when an "
        "exception leaves it; to undo a part, use a savepoint."
    )
