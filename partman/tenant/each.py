"""A job for each of many tenants, such as one that runs at night."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from partman.database.engine import project_engine
from partman.errors import TenantsFailedError
from partman.tenant.block import tenant
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, shown

logger = logging.getLogger("partman.tenant")

_SHOWN = 10
"""Failures in a message."""


@dataclass(frozen=True)
class TenantFailure:
    """A tenant for which the job failed; its block was rolled back."""

    tenant_id: TenantId
    error: Exception


@dataclass(frozen=True)
class TenantsReport:
    """What became of a job that ran for many tenants."""

    done: tuple[TenantId, ...]
    """The tenants whose blocks were committed, in this order."""
    failed: tuple[TenantFailure, ...]

    def raise_failures(self) -> None:
        """Raise TenantsFailedError if the job failed for a tenant, so that a script ends with 1."""
        if not self.failed:
            return
        told = [f"{shown(each.tenant_id)}: {_told(each.error)}" for each in self.failed[:_SHOWN]]
        more = len(self.failed) - len(told)
        told += [f"and {more} more"] if more else []
        total = len(self.failed) + len(self.done)
        raise TenantsFailedError(
            f"The job failed for {len(self.failed)} of {total} tenants. "
            "Their blocks were rolled back; the others are saved. "
            f"Run it again for: {'; '.join(told)}"
        )


async def for_each_tenant(
    job: Callable[[TenantId], Awaitable[object]],
    tenants: AsyncIterable[TenantId] | Iterable[TenantId],
    *,
    concurrency: int = 4,
    engine: TenantEngine | None = None,
) -> TenantsReport:
    """Run a job in a ``tenant()`` block of each tenant; return what became of it.

    The job gets the tenant's ID. If it raises an exception, its block is rolled back, and the
    others go on. At most ``concurrency`` blocks are open at the same time, and no more than the
    pool has connections. ``tenants`` are taken one by one, when a block is free.

    Raises TenantNestingError inside of a block, and what ``tenants`` raises.
    """
    engine = engine or project_engine(TenantEngine)
    if concurrency < 1:
        raise ValueError("concurrency must be 1 or more")
    if engine.pool is not None:
        concurrency = min(concurrency, engine.pool.get_max_size())
    work = _Work(job, _iterated(tenants), engine)
    with engine.outside_of_tenant("for_each_tenant()"):
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(work.go_on())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return TenantsReport(tuple(work.done), tuple(work.failed))


class _Work:
    def __init__(
        self,
        job: Callable[[TenantId], Awaitable[object]],
        tenants: AsyncIterator[TenantId],
        engine: TenantEngine,
    ) -> None:
        self._job = job
        self._tenants = tenants
        self._engine = engine
        self._taking = asyncio.Lock()
        self.done: list[TenantId] = []
        self.failed: list[TenantFailure] = []

    async def go_on(self) -> None:
        """Take one tenant after the other."""
        while True:
            async with self._taking:
                tenant_id = await anext(self._tenants, None)
            if tenant_id is None:
                return
            try:
                async with tenant(tenant_id, engine=self._engine):
                    await self._job(tenant_id)
            except Exception as error:
                logger.warning("%s: %s", shown(tenant_id), _told(error))
                self.failed.append(TenantFailure(tenant_id, error))
            else:
                self.done.append(tenant_id)


async def _iterated(
    tenants: AsyncIterable[TenantId] | Iterable[TenantId],
) -> AsyncIterator[TenantId]:
    if isinstance(tenants, AsyncIterable):
        async for tenant_id in tenants:
            yield tenant_id
        return
    for tenant_id in tenants:
        yield tenant_id


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
