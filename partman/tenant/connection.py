"""A connection that belongs to one tenant until it is given back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from partman.database.array_types import explain_unknown_type
from partman.database.explain import CONNECTION_LOST, NOT_SENT
from partman.errors import (
    DatabaseUnavailableError,
    TenantOverError,
    TenantRolledBackError,
    TenantTimeoutError,
)
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.tenant.elsewhere import refuse_other_loop
from partman.tenant.explain import Lost, explain_beginning, explain_loss, explain_statement
from partman.tenant.statements import refuse_leaving
from partman.tenant.tenant_id import TenantId

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    Raw = Connection[Record] | PoolConnectionProxy[Record]

T = TypeVar("T")

_CLEANING_PATIENCE = 5.0
"""Seconds that a ROLLBACK may take; a connection that is slower is dropped."""

_cleaning: set[asyncio.Task[None]] = set()
"""Kept here, because an event loop does not keep its tasks alive."""


def beginning(tenancy: Tenancy, tenant_id: TenantId, is_distributed: bool = False) -> str:
    """Return the statements that begin a transaction as the tenant, to be sent as one message.

    SET LOCAL, because its effect ends with the transaction, whatever becomes of it. CLOSE ALL,
    because the rows of a cursor WITH HOLD stay with the session, which a transaction pool does
    not reset. Citus sends SET LOCAL to the other nodes if told so, with the message that it is
    part of: in a DO block it is alone, otherwise BEGIN would be sent too. It asks the shards one
    after the other: else it refuses to change a row of all nodes, as those of the tenants' table
    are, after a statement that does not name the tenant.
    """
    become = (
        f"SET LOCAL ROLE {tenancy.roles.app}; "
        f"SET LOCAL {tenancy.setting} = {literal(str(tenant_id))}"
    )
    if is_distributed:
        sequential = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
        propagated = f"{sequential}; SET LOCAL citus.propagate_set_commands = 'local'; {become}"
        become = f"DO {literal(f'BEGIN {propagated}; END')}"
    return f"BEGIN; CLOSE ALL; {become}"


class TenantConnection:
    """What a ``tenant()`` block has in place of the driver's connection.

    It offers nothing that could end the transaction or change its role, sends one statement at a
    time, also when tasks share it, and none after the block.
    """

    def __init__(
        self,
        raw: "Raw",
        give_back: Callable[[], Awaitable[object]],
        tenancy: Tenancy,
        connect: Callable[[], Awaitable["Connection[Record]"]],
        is_distributed: bool = False,
    ) -> None:
        self._raw = raw
        self._give_back = give_back
        self._tenancy = tenancy
        self._connect = connect
        self.is_distributed = is_distributed
        """Whether Citus distributes the tenant tables over other nodes."""
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.serves_other_loops = False
        """Whether other event loops may use it; its own one must be free to work for them."""
        self.over = False
        """Whether the block has ended."""
        self._running: asyncio.Task[Any] | None = None
        """The task whose statement is with the server."""
        self._interrupted: asyncio.Task[Any] | None = None

    # What runs in the block

    async def fetch(self, sql: str, *arguments: Any, **options: Any) -> list["Record"]:
        """Run a statement; return its rows."""
        return await self._send(sql, lambda raw: raw.fetch(sql, *arguments, **options))

    async def fetchrow(self, sql: str, *arguments: Any, **options: Any) -> "Record | None":
        """Run a statement; return its first row."""
        return await self._send(sql, lambda raw: raw.fetchrow(sql, *arguments, **options))

    async def fetchval(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Run a statement; return the first value of its first row."""
        return await self._send(sql, lambda raw: raw.fetchval(sql, *arguments, **options))

    async def execute(self, sql: str, *arguments: Any) -> str | None:
        """Run a statement; return its command tag.

        It is one statement, never several: the driver's own ``execute`` runs as many as there
        are, and the second of them could leave the tenant.
        """

        async def execute(raw: "Raw") -> str | None:
            statement = await raw.prepare(sql, name="")
            await statement.fetch(*arguments)
            return statement.get_statusmsg()

        return await self._send(sql, execute)

    async def executemany(self, sql: str, arguments: Any, **options: Any) -> None:
        """Run a statement once for each of the arguments, in one go."""
        await self._send(sql, lambda raw: raw.executemany(sql, arguments, **options))

    async def _send(self, sql: str, work: Callable[["Raw"], Awaitable[T]]) -> T:
        refuse_leaving(sql)
        try:
            return await self.run(work)
        except asyncpg.PostgresError as error:
            if explained := explain_statement(error, sql, self._tenancy):
                raise explained from error
            raise

    async def run(self, work: Callable[["Raw"], Awaitable[T]]) -> T:
        """Do some work with the driver's connection, while nobody else uses it.

        Raises TenantOverError after the block, also for work that the end of a failing block
        interrupted; WrongLoopError in another event loop; TenantTimeoutError and
        DatabaseUnavailableError if the connection was lost.
        """
        if self.over:
            raise _over()
        if self.serves_other_loops and asyncio.get_running_loop() is not self._loop:
            there = asyncio.run_coroutine_threadsafe(self._run(work), self._loop)
            return await asyncio.wrap_future(there)
        self.refuse_other_loop()
        return await self._run(work)

    def refuse_other_loop(self) -> None:
        """Raise WrongLoopError in an event loop that this connection does not serve."""
        if not self.serves_other_loops:
            refuse_other_loop(self._loop)

    async def _run(self, work: Callable[["Raw"], Awaitable[T]]) -> T:
        async with self._lock:
            if self.over:
                raise _over()
            self._running = task = asyncio.current_task()
            cancelled_before = task.cancelling() if task else 0
            try:
                return await self._work(work)
            except asyncio.CancelledError:
                if task is None or task is not self._interrupted:
                    raise
                if task.uncancel() > cancelled_before:
                    raise
                raise _over() from None
            finally:
                self._running = None

    async def _work(self, work: Callable[["Raw"], Awaitable[T]]) -> T:
        sent = time.monotonic()
        try:
            return await work(self._raw)
        except asyncpg.InsufficientPrivilegeError as error:
            if explained := explain_unknown_type(error):
                raise explained from error
            raise
        except Exception as error:
            if not self._is_closed():
                raise
            raise await explain_loss(self._lost(error, sent), self._connect) from error
        finally:
            self._last = time.monotonic()

    def _lost(self, error: Exception, sent: float) -> Lost:
        """Return what happened; the session was idle until the statement was sent."""
        return Lost(error, idle=sent - self._last, age=sent - self._began)

    def _is_closed(self) -> bool:
        try:
            return self._raw.is_closed()
        except asyncpg.InterfaceError:  # and so no longer part of the pool
            return True

    # Its beginning and its end

    async def begin(self, tenant_id: TenantId) -> None:
        """Begin a transaction as the tenant, in one round trip.

        Raises PermissionDeniedError, NotIsolatedError, DatabaseUnavailableError; the connection has
        then been given back.
        """
        try:
            await self._raw.execute(beginning(self._tenancy, tenant_id, self.is_distributed))
        except BaseException as error:
            explained = explain_beginning(error, self._raw, self._tenancy.roles.app)
            await self.roll_back()
            if explained is None:
                raise
            raise explained from error
        # After the server's own clock has started, so that no limit seems reached too early.
        self._began = self._last = time.monotonic()

    async def commit(self) -> None:
        """Commit what the block did, and give the connection back.

        First waits for a statement that another task has sent. Raises TenantRolledBackError,
        DatabaseUnavailableError.
        """
        self.over = True
        try:
            async with self._lock:
                sent = time.monotonic()
                tag = await self._raw.execute("COMMIT")
        except CONNECTION_LOST as error:
            await self.roll_back()
            explained = await explain_loss(self._lost(error, sent), self._connect)
            if isinstance(error, NOT_SENT) or isinstance(explained, TenantTimeoutError):
                raise explained from error
            raise DatabaseUnavailableError(
                f"The connection was lost as tenant() committed: {error}. Nobody can tell "
                "whether the block was saved: look before you do it again."
            ) from error
        except BaseException:
            await self.roll_back()
            raise
        await self._part()
        if tag != "COMMIT":
            raise TenantRolledBackError(
                "A statement in the tenant() block failed, and the block went on as if it had "
                "not. The server had rolled the transaction back: nothing of the block was saved. "
                "Let the error leave the block, or put a savepoint before the statement "
                "(await transaction.savepoint()) and roll back to it."
            )

    async def roll_back(self) -> None:
        """Undo what the block did, and give the connection back, or drop it.

        It ends a statement that another task has sent. Once begun it is done to the end, also if
        whoever waits for it is cancelled.
        """
        self.over = True
        if self._running is not None and self._running is not asyncio.current_task():
            self._interrupted = self._running
            self._running.cancel()
        cleaning = asyncio.ensure_future(self._clean())
        _cleaning.add(cleaning)
        cleaning.add_done_callback(_cleaning.discard)
        await asyncio.shield(cleaning)

    async def _clean(self) -> None:
        try:
            async with asyncio.timeout(_CLEANING_PATIENCE), self._lock:
                await self._raw.execute("ROLLBACK")
                await self._part()
        except (Exception, asyncio.CancelledError):
            # What made the block fail says more than that its connection is no good.
            self._drop()

    async def _part(self) -> None:
        """Give the connection back. What was committed stays so, even if that fails."""
        try:
            await self._give_back()
        except Exception:
            self._drop()

    def _drop(self) -> None:
        with suppress(asyncpg.InterfaceError):  # it was given back already
            self._raw.terminate()


def _over() -> TenantOverError:
    return TenantOverError(
        "The tenant() block that this query belongs to has ended, so it was not run: its "
        "connection may serve another tenant by now. Wait for the task in the block "
        "(asyncio.TaskGroup), or give the task a tenant() of its own."
    )
