"""An application behind the middleware, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from partman.asgi import (
    TenantMiddleware,
    by_subdomain,
)
from partman.asgi.types import Message, Scope
from partman.tables import Partner, organization_for_subdomain

FIRST, SECOND = "partner of the first", "partner of the second"

A_REQUEST = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"first.x.test")]}


async def names() -> list[str]:
    return await Partner.select(Partner.name).order_by(Partner.name).output(as_list=True)


async def rename() -> None:
    await Partner.raw("UPDATE partners SET name = 'changed'")


def served(application: FastAPI, **options: Any) -> FastAPI:
    find = options.pop("find", by_subdomain(organization_for_subdomain, "x.test"))
    application.add_middleware(TenantMiddleware, find=find, **options)
    return application


@asynccontextmanager
async def client(application: Any, host: str = "first.x.test") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


async def exchanged(application: Any, scope: Scope, *received: Message) -> list[Message]:
    """Return what is sent for these messages."""
    sent: list[Message] = []
    waiting = iter([*received, *([{"type": "http.request"}] if not received else [])])

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    await application(dict(scope), receive, send)
    return sent
