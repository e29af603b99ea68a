"""What ``tenant()`` asks of the engine."""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from piccolo.engine.postgres import AsyncBatch

from partman.database.engine import DatabaseEngine
from partman.errors import NoTenancyError, TenantNestingError
from partman.isolation import Tenancy
from partman.tenant.connection import TenantConnection
from partman.tenant.elsewhere import refuse_run_sync
from partman.tenant.tenant_id import TenantId
from partman.tenant.transaction import TenantBatch, TenantTransaction

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy
    from piccolo.query.base import Query

    Raw = Connection[Record] | PoolConnectionProxy[Record]


class TenantEngine(DatabaseEngine):
    """An engine whose queries, in a tenant's block, go over the tenant's connection."""

    @functools.cached_property
    def _open_blocks(self) -> set[TenantTransaction]:
        """The blocks that were entered and have not ended."""
        return set()

    @property
    def needed_tenancy(self) -> Tenancy:
        """The project's tenancy. Raises NoTenancyError where it has none."""
        if self.tenancy is None:
            raise NoTenancyError(
                "The project has no tenancy, so there is no tenant to enter. Nothing was run. "
                "Declare one in piccolo_conf.py: from partman.isolation import Tenancy, and "
                'DB = PartmanEngine(tenancy=Tenancy(table="workspaces", column="workspace_id")). '
                "See docs/tenancy.md."
            )
        return self.tenancy

    def tenant_transaction(self, tenant_id: TenantId) -> TenantTransaction:
        """Return a block for one tenant, by its parsed ID."""
        return TenantTransaction(self, tenant_id, self.tenant_connection, self._open_blocks)

    def block_of_its_own(self, tenant_id: TenantId) -> TenantTransaction:
        """Return a block as tenant_transaction() does, whose connection is not the pool's."""
        return TenantTransaction(self, tenant_id, self.new_tenant_connection, self._open_blocks)

    @contextlib.contextmanager
    def outside_of_tenant(self, asked: str) -> Iterator[None]:
        """Ask something as the login, before a tenant is known, for the duration of a block.

        A task that was begun in a ``tenant()`` block which is over is outside again. Inside of
        one, raises TenantNestingError, which names what was ``asked``.
        """
        current = self.current_transaction.get()
        if isinstance(current, TenantTransaction) and not current.over:
            raise TenantNestingError(
                f"{asked} was asked inside of tenant(), which may not know of other tenants. "
                "Nothing was run. Ask before you enter the block."
            )
        with self.forgetting_ended_block():
            yield

    @contextlib.contextmanager
    def forgetting_ended_block(self) -> Iterator[None]:
        """Work outside of a block that is over, for the duration of this one.

        A web server may begin a request in the context of the one before on the same socket.
        """
        current = self.current_transaction.get()
        if not isinstance(current, TenantTransaction) or not current.over:
            yield
            return
        token = self.current_transaction.set(None)
        try:
            yield
        finally:
            self.current_transaction.reset(token)

    async def tenant_connection(self) -> TenantConnection:
        """Return a connection for one tenant's block. Raises PartmanError.

        From the pool if there is one. Otherwise it is new, and takes some milliseconds more.
        """
        if self.pool is not None:
            pooled = await self.pool.acquire()
            give_back = functools.partial(self.pool.release, pooled)
            return self._tenant_connection(pooled, give_back)
        return await self.new_tenant_connection()

    async def new_tenant_connection(self) -> TenantConnection:
        """Return a connection for one tenant's block that is not the pool's.

        Raises PartmanError.
        """
        connection = await self.application_connection(init=self.prepare_session)
        return self._tenant_connection(connection, connection.close)

    def _tenant_connection(
        self, raw: "Raw", give_back: Callable[[], Awaitable[object]]
    ) -> TenantConnection:
        return TenantConnection(
            raw,
            give_back,
            self.needed_tenancy,
            self.application_connection,
            self.is_distributed,
        )

    async def get_new_connection(self) -> "Connection[Record] | Any":
        """Return a new connection. Raises PartmanError, as for run_sync() in a tenant's block."""
        refuse_run_sync(list(self._open_blocks), self.current_transaction)
        return await super().get_new_connection()

    async def batch(
        self, query: "Query[Any, Any]", batch_size: int = 100, node: str | None = None
    ) -> AsyncBatch:
        """Return the rows of a query in portions; in a tenant's block, over its connection."""
        transaction = self.current_transaction.get()
        if isinstance(transaction, TenantTransaction):
            return TenantBatch(transaction, query, batch_size)
        return await super().batch(query, batch_size, node)
