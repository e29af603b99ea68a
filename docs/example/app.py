"""A partner API on top of partman: each organization at its own subdomain. See README.md."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from docs.example import opportunities, partners, security
from partman.asgi import TenantMiddleware, with_pool

POOL = int(os.environ.get("EXAMPLE_POOL", "5"))
"""Number of connections."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Refuse to start without a secret."""
    security.secret()
    yield


app = FastAPI(title="Partners", lifespan=with_pool(lifespan, min_size=1, max_size=POOL))
app.add_middleware(
    TenantMiddleware, find=security.find_organization, outside=("/sign-in", "/health")
)
for module in (security, partners, opportunities):
    app.include_router(module.router)


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer while the process serves."""
    return {"status": "ok"}


@app.exception_handler(asyncpg.IntegrityConstraintViolationError)
async def refused(_: Request, error: Exception) -> JSONResponse:
    """Answer what a key or a check refuses; the middleware rolls back, as for each error."""
    name = getattr(error, "constraint_name", None)
    return JSONResponse({"detail": f"The database refuses the values: {name}."}, 409)
