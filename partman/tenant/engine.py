"""What ``tenant()`` asks of the engine."""

import functools
from typing import TYPE_CHECKING, Any
from uuid import UUID

from piccolo.engine.postgres import AsyncBatch

from partman.database.array_types import learn_array_types
from partman.database.engine import DatabaseEngine
from partman.tenant.connection import TenantConnection
from partman.tenant.transaction import TenantBatch, TenantTransaction

if TYPE_CHECKING:
    from piccolo.query.base import Query


class TenantEngine(DatabaseEngine):
    """An engine whose queries, in a tenant's block, go over the tenant's connection."""

    def tenant_transaction(self, organization_id: UUID) -> TenantTransaction:
        """Return a block for one tenant."""
        return TenantTransaction(self, organization_id, self.tenant_connection)

    async def tenant_connection(self) -> TenantConnection:
        """Return a connection for one tenant's block. Raises PartmanError.

        From the pool if there is one. Otherwise it is new, and takes some milliseconds more than
        another, to learn the array types.
        """
        if self.pool is not None:
            pooled = await self.pool.acquire()
            return TenantConnection(pooled, functools.partial(self.pool.release, pooled))
        connection = await self.application_connection(init=learn_array_types)
        return TenantConnection(connection, connection.close)

    async def batch(
        self, query: "Query[Any, Any]", batch_size: int = 100, node: str | None = None
    ) -> AsyncBatch:
        """Return the rows of a query in portions; in a tenant's block, over its connection."""
        transaction = self.current_transaction.get()
        if isinstance(transaction, TenantTransaction):
            return TenantBatch(transaction, query, batch_size)
        return await super().batch(query, batch_size, node)
