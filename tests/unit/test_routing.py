"""Inside of tenant() on a distributed database, a query names its tenant; nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from piccolo.query import Query
from piccolo.query.methods.count import Count
from piccolo.query.methods.delete import Delete
from piccolo.query.methods.exists import Exists
from piccolo.query.methods.insert import Insert
from piccolo.query.methods.objects import Objects
from piccolo.query.methods.select import Select
from piccolo.query.methods.update import Update

from partman.errors import NotRoutedError
from partman.isolation import routing
from partman.tenant.engine import TenantEngine
from tests.unit.routed_queries import (
    TENANCY,
    TENANT_TABLES,
    Build,
    Country,
    Customer,
    Line,
    Order,
    Shop,
    orders,
    queries,
)
from tests.unit.tenant_conditions import without_tenant

pytestmark = pytest.mark.same_on_every_version

ENGINE = TenantEngine(tenancy=TENANCY)
QUERIES = [pytest.param(build, id=name) for name, build in queries()]


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (Shop, Country, Customer, Order, Line):
        monkeypatch.setattr(table._meta, "_db", ENGINE)


@contextmanager
def _routed_to(tenant: object) -> Iterator[None]:
    """Be where TenantTransaction.routed_tenant is a tenant."""
    block: Any = SimpleNamespace(routed_tenant=tenant)
    token = ENGINE.current_transaction.set(block)
    try:
        yield
    finally:
        ENGINE.current_transaction.reset(token)


def _sql(query: Any) -> tuple[str, list[Any]]:
    [querystring] = query.querystrings
    sql, arguments = querystring.compile_string()
    return sql, arguments


@pytest.mark.parametrize("build", QUERIES)
def test_a_query_ties_each_tenant_table_to_the_tenant(build: Build) -> None:
    with _routed_to("a {b}'s"):
        sql, arguments = _sql(build())

    assert without_tenant(sql, TENANT_TABLES, TENANCY.column) == []
    assert arguments.count("a {b}'s") >= 1


@pytest.mark.parametrize("build", QUERIES)
def test_a_query_is_piccolos_own_on_a_single_server(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = _sql(build())
    with _routed_to(None):
        assert _sql(build()) == ours
    with monkeypatch.context() as without:
        for name, kind in _PICCOLOS.items():
            without.setattr(routing, name, kind)
        assert _sql(build()) == ours


_PICCOLOS: dict[str, type[Query[Any, Any]]] = {
    "RoutedCount": Count,
    "RoutedDelete": Delete,
    "RoutedExists": Exists,
    "RoutedInsert": Insert,
    "RoutedObjects": Objects,
    "RoutedSelect": Select,
    "RoutedUpdate": Update,
}


@pytest.mark.parametrize("build", [each for each in QUERIES if "sub-select" not in str(each.id)])
def test_a_frozen_query_names_the_tenant_of_each_block(build: Build) -> None:
    unrouted = build().freeze()
    with _routed_to("a"):
        routed = build().freeze()

    for frozen in (unrouted, routed):
        assert _sql(frozen.query) == _sql(build())
        for tenant in ("a", "b"):
            with _routed_to(tenant):
                assert _sql(frozen.query) == _sql(build())
                assert tenant in _sql(frozen.query)[1]


def test_a_query_is_run_for_one_tenant_after_the_other() -> None:
    query = Order.select().where(Order.number == 1)
    for tenant in ("a", "b"):
        with _routed_to(tenant):
            assert _sql(query)[1] == [tenant, 1]
    assert _sql(query)[1] == [1]


def test_a_sub_select_names_the_tenant_of_the_block_that_it_was_built_in() -> None:
    with _routed_to("a"):
        query = Order.select().where(Order.customer.is_in(Customer.select(Customer.name)))
        assert _sql(query)[1] == ["a", "a"]


CONFLICTS: list[tuple[Any, str, str]] = [
    (None, "", ""),
    (orders.id, '("id")', '("shop_id", "id")'),
    ((orders.id,), '("id")', '("shop_id", "id")'),
    ((Order.shop, Order.number), '("shop_id", "number")', '("shop_id", "number")'),
    ("orders_pkey", 'ON CONSTRAINT "orders_pkey"', 'ON CONSTRAINT "orders_pkey"'),
]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("target", "single", "divided"), CONFLICTS)
def test_a_conflict_of_the_key_is_one_with_the_tenant(
    target: Any, single: str, divided: str, frozen: bool
) -> None:
    """On a distributed database, where the primary key has it in front."""
    query: Any = Order.insert(Order(id=1, number=2, shop=3))
    query = query.on_conflict(target, "DO NOTHING").returning(orders.id)
    if frozen:
        query = query.freeze().query
    for tenant, wanted in ((None, single), ("a", divided), (None, single)):
        with _routed_to(tenant):
            sql, arguments = _sql(query)
        _, _, conflict = sql.partition(" ON CONFLICT")
        assert conflict.partition(" DO NOTHING")[0].strip() == wanted
        assert {1, 2, 3} <= {*arguments}


def test_what_goes_through_a_joining_table_is_refused() -> None:
    with _routed_to("a"), pytest.raises(NotRoutedError, match=r"Use get_m2m\(\) of a row"):
        str(Customer.select(Customer.items(Line.amount)))
