"""tenant_sync(): a block for code without an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from partman.engine import PartmanEngine
from partman.errors import (
    DatabaseUnavailableError,
    TenantNestingError,
    TenantOverError,
    TenantRolledBackError,
    TenantYieldError,
    WrongLoopError,
)
from partman.tables import Partner
from partman.tenant import current_tenant, tenant, tenant_sync
from tests.tenants import Tenants, none_in_transaction, use

FIRST, SECOND = "partner of the first", "partner of the second"


@pytest.fixture
def two(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenants]:
    """The tenants, with an engine in use; the tests are synchronous, as the code is."""
    use(tenants.engine(), monkeypatch)
    yield tenants
    assert asyncio.run(none_in_transaction(tenants))
    assert [thread for thread in threading.enumerate() if thread.name == "tenant_sync"] == []


def names() -> list[str]:
    return Partner.select(Partner.name).order_by(Partner.name).output(as_list=True).run_sync()


def rename() -> None:
    Partner.raw("UPDATE partners SET name = 'changed'").run_sync()


def saved(tenants: Tenants) -> list[str]:
    return asyncio.run(tenants.partners())


def test_it_reaches_the_rows_of_its_tenant_and_commits(two: Tenants) -> None:
    with tenant_sync(two.first):
        assert names() == [FIRST]
        assert current_tenant() == two.first
        rename()
        Partner(
            organization=two.first, name="new", domain="x", commission_structure={}
        ).save().run_sync()
        assert saved(two) == [FIRST, SECOND]
    assert saved(two) == ["changed", "new", SECOND]
    with tenant_sync(two.second):
        assert names() == [SECOND]


def test_an_exception_rolls_back(two: Tenants) -> None:
    def fail() -> None:
        with tenant_sync(two.first):
            rename()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert saved(two) == [FIRST, SECOND]


def test_an_error_of_the_server_that_was_swallowed_is_an_error(two: Tenants) -> None:
    def swallow() -> None:
        with tenant_sync(two.first):
            rename()
            with pytest.raises(Exception, match="division by zero"):
                Partner.raw("SELECT 1 / 0").run_sync()

    with pytest.raises(TenantRolledBackError):
        swallow()
    assert saved(two) == [FIRST, SECOND]


def test_it_joins_a_block_of_the_same_tenant_and_refuses_another(two: Tenants) -> None:
    with tenant_sync(two.first) as outer:
        with tenant_sync(two.first) as inner:
            assert inner is outer
            rename()
        with pytest.raises(TenantNestingError), tenant_sync(two.second):
            pass
        assert names() == ["changed"]


def test_a_loop_in_the_block_works_in_it(two: Tenants) -> None:
    async def several() -> list[Any]:
        async with tenant(two.first) as joined:
            await Partner.raw("UPDATE partners SET name = 'changed'")
            savepoint = await joined.savepoint()
            await Partner.delete(force=True)
            await savepoint.rollback_to()  # type: ignore[no-untyped-call]
            async with await Partner.select(Partner.name).batch() as portions:
                return [row["name"] for rows in [await anext(portions)] for row in rows]

    with tenant_sync(two.first):
        assert asyncio.run(several()) == ["changed"]
    assert saved(two) == ["changed", SECOND]


def test_after_it_a_query_is_refused(two: Tenants) -> None:
    with tenant_sync(two.first) as block:
        pass
    with pytest.raises(TenantOverError):
        asyncio.run(block.connection.fetch("SELECT 1"))


def test_it_is_refused_around_a_yield_but_not_in_a_context_manager(two: Tenants) -> None:
    def rows() -> Iterator[str]:
        with tenant_sync(two.first):
            yield from names()

    @contextmanager
    def own_block() -> Iterator[None]:
        with tenant_sync(two.first):
            yield

    with pytest.raises(TenantYieldError, match=r"in rows\(\)"):
        next(rows())
    with own_block():
        assert names() == [FIRST]


def test_a_database_that_is_not_there_is_reported(
    two: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(two.engine("postgresql://nobody@127.0.0.1:1/x"), monkeypatch)
    with pytest.raises(DatabaseUnavailableError), tenant_sync(two.first):
        pass


async def test_in_a_running_loop_it_is_refused(tenants: Tenants, engine: PartmanEngine) -> None:
    with (
        pytest.raises(WrongLoopError, match=r"Write async with tenant"),
        tenant_sync(tenants.first),
    ):
        pass


async def test_in_a_thread_of_an_asynchronous_block_it_is_a_block_of_its_own(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    def work() -> list[str]:
        with tenant_sync(tenants.second):
            return names()

    async with tenant(tenants.first):
        assert await asyncio.to_thread(work) == [SECOND]
        assert await Partner.count() == 1
