"""Work that goes on after the response."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from partman.tenant import current_tenant, tenant
from partman.tenant.engine import TenantEngine

P = ParamSpec("P")
T = TypeVar("T")


def in_tenant(
    job: Callable[P, Awaitable[T]], *, engine: TenantEngine | None = None
) -> Callable[P, Awaitable[T]]:
    """Return the job in a block of its own, of the tenant that is current now.

    For what runs when the request's block has ended:
    ``tasks.add_task(in_tenant(notify), deal_id)``. Raises TenancyError outside of ``tenant()``.
    """
    tenant_id = current_tenant(engine=engine)

    @functools.wraps(job)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        async with tenant(tenant_id, engine=engine):
            return await job(*args, **kwargs)

    return run
