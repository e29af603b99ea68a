"""Queries of every kind, over tables of every kind: what ``tenant()`` has to route."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from piccolo.columns import ForeignKey, Integer, Varchar
from piccolo.columns.m2m import M2M
from piccolo.columns.reference import LazyTableReference
from piccolo.query import Query
from piccolo.query.functions import Max, Upper
from piccolo.querystring import QueryString
from piccolo.table import Table

from partman import isolation
from partman.isolation import Key, Roles, Tenancy, TenantReference

TENANCY = Tenancy("shops", "shop_id", Key.TEXT, Roles.named("shop"), "shop.id")


class Shop(Table, tablename="shops"):
    """The tenants."""

    id = Varchar(primary_key=True, length=None)
    name = Varchar()


class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Shop):
    """The base class of the tenant tables."""

    shop: ForeignKey[Shop]


class Country(Table, tablename="countries"):
    """A table of no tenant, which refers to a tenant's."""

    name = Varchar()
    largest: ForeignKey[Any] = ForeignKey(LazyTableReference("Customer", module_path=__name__))


class Customer(TenantTable, Table, tablename="customers"):
    """A tenant table that refers to none."""

    name = Varchar()
    country = ForeignKey(Country)
    items = M2M(LazyTableReference("Line", module_path=__name__))


class Order(TenantTable, Table, tablename="orders"):
    """A tenant table that refers to another, and whose name is a keyword with a schema's twin."""

    number = Integer()
    customer = TenantReference(Customer, db_column_name="customer_id")
    before = TenantReference("self")


class Line(TenantTable, Table, tablename="lines", schema="sales"):
    """A tenant table in another schema, two references away from the first."""

    amount = Integer()
    order = TenantReference(Order, db_column_name="order_id")
    customer = TenantReference(Customer)


customers: Any = Customer  # type checkers know no columns of a reference
orders: Any = Order
lines: Any = Line

TENANT_TABLES = {"customers", "orders", "lines"}

Build = Callable[[], Query[Any, Any]]


def queries() -> Iterator[tuple[str, Build]]:
    """Yield a name and a function for each kind of query with each kind of condition."""
    for table, conditions in _CONDITIONS.items():
        for name, condition in conditions.items():
            for kind, query in _KINDS.items():
                yield f"{table.__name__} {kind} {name}", partial(_built, table, query, condition)
    yield from _OTHERS.items()


def _built(table: Any, query: Callable[[Any], Any], condition: Callable[[], Any] | None) -> Any:
    built = query(table)
    return built if condition is None else built.where(*_as_tuple(condition()))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


_KINDS: dict[str, Callable[[Any], Any]] = {
    "select": lambda table: table.select(),
    "select one column": lambda table: table.select(table.id),
    "objects": lambda table: table.objects(),
    "first": lambda table: table.objects().order_by(table.id, ascending=False).limit(1).offset(2),
    "count": lambda table: table.count(),
    "count distinct": lambda table: table.count(distinct=[table.id]),
    "exists": lambda table: table.exists(),
    "update": lambda table: table.update({table.id: 1}, force=True).returning(table.id),
    "delete": lambda table: table.delete(force=True).returning(table.id),
    "lock": lambda table: table.select().lock_rows("UPDATE", of=(table,)),
    "lock objects": lambda table: table.objects().lock_rows("NO KEY UPDATE"),
}
_CONDITIONS: dict[Any, dict[str, Callable[[], Any] | None]] = {
    Customer: {
        "all": None,
        "raw OR": lambda: QueryString("id = {} OR true", 1),
        "country": lambda: customers.country.name == "x",
        "customer of a country": lambda: customers.country.largest.name == "x",
    },
    Order: {
        "by reference": lambda: orders.customer.name == "x",
        "or": lambda: (orders.number == 1) | (orders.customer.country.name == "x"),
        "and": lambda: (orders.number > 1, orders.shop.name == "x"),
        "self": lambda: orders.before.before.number == 1,
        "sub-select": lambda: orders.customer.is_in(
            customers.select(customers.id).where(customers.name == "x")
        ),
    },
    Line: {
        "two references": lambda: lines.order.customer.name == "x",
        "raw reference": lambda: QueryString("{} = {} OR {}", lines.order.number, 1, True),
        "shop of an order": lambda: lines.order.shop.name == "x",
    },
}
_OTHERS: dict[str, Build] = {
    "selected by reference": lambda: lines.select(lines.id, lines.order.customer.all_columns()),
    "ordered by reference": lambda: lines.select(lines.id).order_by(lines.order.customer.name),
    "prefetched": lambda: lines.objects(lines.order.customer, lines.customer),
    "grouped": lambda: (
        lines.select(lines.order.number, Max(lines.amount))
        .group_by(lines.order.number)
        .having(Max(lines.amount) > 1)
    ),
    "function": lambda: lines.select(Upper(lines.customer.name).as_alias("n")),
    "distinct": lambda: orders.select(orders.number).distinct(),
    "counted column": lambda: lines.count(column=lines.order.number),
}
