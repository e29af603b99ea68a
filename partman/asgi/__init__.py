"""``partman.asgi``: the tenants of a web application, whatever its framework.

::

    find = by_subdomain(organization_for_subdomain, "example.com")
    app = FastAPI(lifespan=with_pool())
    app.add_middleware(TenantMiddleware, find=find)
"""

from partman.asgi.background import in_tenant
from partman.asgi.finding import Find, Lookup, RefusedError, by_header, by_subdomain, by_token
from partman.asgi.lifespan import pool, with_pool
from partman.asgi.middleware import TenantMiddleware, tenant_of

__all__ = [
    "Find",
    "Lookup",
    "RefusedError",
    "TenantMiddleware",
    "by_header",
    "by_subdomain",
    "by_token",
    "in_tenant",
    "pool",
    "tenant_of",
    "with_pool",
]
