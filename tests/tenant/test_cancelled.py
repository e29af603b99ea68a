"""Blocks that are cancelled at generated points: nothing stays open, and no tenant sees another."""

import asyncio
import random
from uuid import UUID

import pytest

from partman.asgi import TenantMiddleware
from partman.asgi.types import Message, Receive, Scope, Send
from partman.errors import PartmanError
from partman.tables import Partner
from partman.tenant import tenant
from tests.summary import thorough
from tests.tenants import DEADLINE, Tenants, eventually, in_use, none_in_transaction

FIRST, SECOND = "partner of the first", "partner of the second"
ROUNDS = 200 if thorough() else 12
AT_ONCE = 8


async def names() -> list[str]:
    return await Partner.select(Partner.name).output(as_list=True)


async def block(organization: UUID) -> list[str]:
    async with tenant(organization):
        await Partner.raw("UPDATE partners SET relationship_health = relationship_health + 1")
        await asyncio.sleep(0)
        return await names()


async def request(organization: UUID) -> list[str]:
    seen: list[str] = []

    async def find(_: Scope) -> UUID:
        return organization

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Partner.raw("UPDATE partners SET relationship_health = relationship_health + 1")
        seen.extend(await names())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await TenantMiddleware(app, find)(scope, receive, send)
    return seen


async def cancelled_after(turns: int, task: "asyncio.Task[list[str]]") -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()


@pytest.mark.parametrize("work", [block, request])
@pytest.mark.parametrize("pooling", ["none", "transaction"])
async def test_nothing_stays_open_and_nobody_sees_anothers_rows(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, work: object, pooling: str
) -> None:
    draw = random.Random(f"{work!r} {pooling}".partition(" at ")[0])  # noqa: S311
    expected = {tenants.first: [FIRST], tenants.second: [SECOND]}
    finished = 0
    async with in_use(tenants.engine(PARTMAN_POOLING=pooling), monkeypatch, pool=False) as engine:
        await engine.start_connection_pool(min_size=2, max_size=2)
        for _ in range(ROUNDS):
            drawn = [draw.choice([*expected]) for _ in range(AT_ONCE)]
            tasks = [asyncio.create_task(work(organization)) for organization in drawn]  # type: ignore[operator]
            async with asyncio.timeout(DEADLINE):
                turns = [draw.randrange(draw.choice([5, 50, 2_000])) for _ in tasks]
                await asyncio.gather(*map(cancelled_after, turns, tasks))
                found = await asyncio.gather(*tasks, return_exceptions=True)
            for organization, result in zip(drawn, found, strict=True):
                if isinstance(result, list):
                    assert result in (expected[organization], [])
                    finished += 1
                else:
                    assert isinstance(result, asyncio.CancelledError | PartmanError), result
            await eventually(lambda: none_in_transaction(tenants))
        async with tenant(tenants.first):
            assert await names() == [FIRST]
        assert not engine._open_blocks
        async with asyncio.timeout(DEADLINE):
            await engine.close_connection_pool()
    assert 0 < finished < ROUNDS * AT_ONCE
