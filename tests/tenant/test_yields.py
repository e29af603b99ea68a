"""tenant() around a yield: refused where the consumer would be in the block, or lose a write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI

from partman.engine import PartmanEngine
from partman.errors import TenantYieldError
from partman.tables import Partner
from partman.tenant import tenant
from tests.tenants import Tenants, none_in_transaction

FIRST, SECOND = "partner of the first", "partner of the second"


async def names() -> list[str]:
    return await Partner.select(Partner.name).output(as_list=True)


async def rename() -> None:
    await Partner.raw("UPDATE partners SET name = 'changed'")


async def around(organization: UUID) -> AsyncIterator[str]:
    async with tenant(organization):
        for name in await names():
            yield name


async def around_in_a_line(organization: UUID) -> AsyncIterator[str]:
    async with AsyncExitStack(), tenant(organization):
        yield "anything"


async def around_by_a_stack(organization: UUID) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tenant(organization))
        yield "anything"


@asynccontextmanager
async def own_block(organization: UUID) -> AsyncIterator[None]:
    async with tenant(organization):
        yield


@asynccontextmanager
async def own_block_of_another(organization: UUID) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(own_block(organization))
        yield


async def around_in_a_context_manager(organization: UUID) -> AsyncIterator[str]:
    async with own_block_of_another(organization):
        yield "anything"


@pytest.mark.parametrize(
    "rows", [around, around_in_a_line, around_by_a_stack, around_in_a_context_manager]
)
async def test_a_generator_is_refused_before_anything_is_run(
    tenants: Tenants, engine: PartmanEngine, rows: Callable[[UUID], AsyncIterator[str]]
) -> None:
    with pytest.raises(TenantYieldError, match=rf"in {rows.__name__}\(\) at .*test_yields.py"):
        await anext(rows(tenants.first))
    assert await none_in_transaction(tenants)


async def between(organization: UUID) -> AsyncIterator[str]:
    """Leave the block before each yield; a generator within does not count."""
    for _ in range(2):
        async with tenant(organization):
            found = [name async for name in generated(await names())]
        yield found[0]


async def generated(found: list[str]) -> AsyncIterator[str]:
    for name in found:
        yield name


async def test_a_generator_that_yields_between_its_blocks_is_welcome(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    found = []
    async for name in between(tenants.first):
        async with tenant(tenants.second):  # the consumer is in no block
            found += [name, *await names()]
    assert found == [FIRST, SECOND] * 2


async def test_a_context_manager_is_welcome(tenants: Tenants, engine: PartmanEngine) -> None:
    async with own_block_of_another(tenants.first):
        await rename()
    assert await tenants.partners() == ["changed", SECOND]


async def test_a_generator_that_enters_by_hand_and_is_abandoned_is_an_error(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async def by_hand() -> AsyncIterator[str]:
        block = tenant(tenants.first)
        await block.__aenter__()
        try:
            await rename()
            yield "saved"
        except BaseException as error:
            await block.__aexit__(type(error), error, error.__traceback__)
            raise
        await block.__aexit__(None, None, None)

    rows: Any = by_hand()
    assert await anext(rows) == "saved"
    with pytest.raises(TenantYieldError, match=r"by_hand\(\).*Nothing of the block was saved"):
        await rows.aclose()
    assert await tenants.partners() == [FIRST, SECOND]


class TestDependencies:
    async def answer(
        self, dependency: Any, work: Callable[[], Awaitable[object]]
    ) -> httpx.Response:
        app = FastAPI()

        @app.get("/")
        async def handler(_: Annotated[None, dependency]) -> object:
            return await work()

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get("/")

    async def test_whose_end_comes_after_the_response_are_refused(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def block() -> AsyncIterator[None]:
            async with tenant(tenants.first):
                yield

        with pytest.raises(TenantYieldError, match='scope="function"'):
            await self.answer(Depends(block), names)

    async def test_whose_end_comes_before_it_are_welcome(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def block() -> AsyncIterator[None]:
            async with own_block(tenants.first):
                yield

        async def work() -> list[str]:
            await rename()
            return await names()

        answer = await self.answer(Depends(block, scope="function"), work)
        assert answer.json() == ["changed"]
        assert await tenants.partners() == ["changed", SECOND]
