"""A block that is used from another event loop or thread: refused at once, and nothing hangs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from partman.engine import PartmanEngine
from partman.errors import WrongLoopError
from partman.tables import Partner
from partman.tenant import tenant
from tests.tenants import DEADLINE, Tenants, in_use

FIRST = "partner of the first"


async def names() -> list[str]:
    return await Partner.select(Partner.name).output(as_list=True)


async def in_a_new_loop(work: Callable[[], Any]) -> object:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(lambda: asyncio.run(work()))


def run_sync_of_a_query(tenants: Tenants) -> object:
    return Partner.count().run_sync()


def run_sync_of_raw_sql(tenants: Tenants) -> object:
    return Partner.raw("SELECT 1").run_sync()


def run_sync_of_an_object(tenants: Tenants) -> object:
    return Partner.objects().first().run_sync()


def in_a_thread(work: Callable[[Tenants], object]) -> Callable[[Tenants], Awaitable[object]]:
    async def run(tenants: Tenants) -> object:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.to_thread(work, tenants)

    return run


def directly(work: Callable[[Tenants], object]) -> Callable[[Tenants], Awaitable[object]]:
    async def run(tenants: Tenants) -> object:
        return work(tenants)

    return run


async def in_a_loop_of_a_thread(tenants: Tenants) -> object:
    return await in_a_new_loop(names)


async def with_a_block_in_a_loop_of_a_thread(tenants: Tenants) -> object:
    async def block() -> None:
        async with tenant(tenants.first):
            await names()

    return await in_a_new_loop(block)


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "no pool"])
@pytest.mark.parametrize(
    "use_it",
    [
        *map(directly, (run_sync_of_a_query, run_sync_of_raw_sql, run_sync_of_an_object)),
        *map(in_a_thread, (run_sync_of_a_query, run_sync_of_raw_sql, run_sync_of_an_object)),
        in_a_loop_of_a_thread,
        with_a_block_in_a_loop_of_a_thread,
    ],
)
async def test_is_refused(
    tenants: Tenants,
    monkeypatch: pytest.MonkeyPatch,
    pool: bool,
    use_it: Callable[[Tenants], Awaitable[object]],
) -> None:
    # As the owner, who sees all rows outside of a tenant.
    owner = tenants.engine(tenants.database.url)
    async with in_use(owner, monkeypatch, pool=pool), tenant(tenants.first):
        with pytest.raises(WrongLoopError, match=r"It was not sent\. Await|Nothing was run"):
            await use_it(tenants)
        assert await names() == [FIRST]


async def test_run_sync_outside_of_a_block_is_piccolos_own(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_use(tenants.engine(tenants.database.url), monkeypatch, pool=True):
        async with tenant(tenants.first):
            pass
        counted = Partner.count().run_sync()
    assert counted >= 2


async def test_a_block_in_another_loop_than_the_pools_is_refused(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async def block() -> None:
        async with tenant(tenants.first):
            pass

    with pytest.raises(WrongLoopError, match=r"Nothing was run.*tenant_sync"):
        await in_a_new_loop(block)
