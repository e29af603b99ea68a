"""``tenant()`` for code without an event loop: Celery, Django, scripts."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, TypeVar

from partman.database.engine import project_engine
from partman.errors import WrongLoopError
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id
from partman.tenant.transaction import TenantTransaction
from partman.tenant.yields import abandoned, refuse_around_yield

T = TypeVar("T")


def tenant_sync(tenant_id: TenantId, *, engine: TenantEngine | None = None) -> "SyncBlock":
    """Return a block as ``tenant()`` does, for code without an event loop.

    ::

        with tenant_sync(organization_id):
            deals = Opportunity.select().run_sync()

    In the block, ``run_sync()`` works, and so does ``asyncio.run()``. The block has a connection of
    its own, not the pool's, and an event loop of its own in another thread, which keeps it alive. A
    block of the same tenant inside of it joins it.

    Raises what ``tenant()`` raises, and WrongLoopError in a running event loop.
    """
    engine = engine or project_engine(TenantEngine)
    return SyncBlock(engine, parse_tenant_id(tenant_id, engine.needed_tenancy.key))


class SyncBlock:
    """What ``tenant_sync()`` returns."""

    def __init__(self, engine: TenantEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._current = engine.current_transaction
        self._block = engine.block_of_its_own(tenant_id)
        self._loop: _LoopThread | None = None

    def __enter__(self) -> TenantTransaction:
        """Begin, or join the same tenant's. Raises PartmanError."""
        _refuse_running_loop()
        refuse_around_yield()
        around = self._current.get()
        if isinstance(around, TenantTransaction) and around.serves_other_loops:
            return self._block.join(around)
        # The block of an event loop, whose context a thread has inherited, is not this one's.
        self._token = self._current.set(None)
        loop = _LoopThread()
        try:
            loop.run(self._block.__aenter__())
        except BaseException:
            loop.stop()
            self._current.reset(self._token)
            raise
        self._loop = loop
        self._block.connection.serves_other_loops = True
        self._current.set(self._block)
        return self._block

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Commit, or roll back if there is an error. Raises PartmanError."""
        if self._loop is None:
            return False
        try:
            self._loop.run(self._block.end(error))
        finally:
            self._loop.stop()
            self._current.reset(self._token)
        if isinstance(error, GeneratorExit):
            raise abandoned(trace) from error
        return False


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongLoopError(
        "tenant_sync() was entered in a running event loop, which it would block. Nothing was run. "
        "Write async with tenant(...), and await the queries."
    )


class _LoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self._is_ready = threading.Event()
        # A program that ends in the middle of a block is not kept alive by it.
        self._thread = threading.Thread(target=self._serve, name="tenant_sync", daemon=True)
        self._thread.start()
        self._is_ready.wait()

    def _serve(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._is_ready.set()
        await self._stopped.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run some work in the loop, and wait for it."""
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()  # after Ctrl-C
            raise

    def stop(self) -> None:
        """End the loop and the thread; what still runs is cancelled."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
