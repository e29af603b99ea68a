"""Queries of tenant tables that name the tenant, for a database that Citus distributes.

Citus finds the node that has a tenant's rows by a value in the query itself. A policy's condition
reads a setting instead, so with policies alone a query goes to every shard. Inside of ``tenant()``
on a distributed database, each query of a tenant table gets ``organization_id = $1``, and each join
of two tenant tables compares their tenants. The primary key has the tenant in front there, so a
conflict of the key is one of both columns. The policies stay, and protect the rows alone: a
condition that is missing makes a query slower, never wider. On a single server, and outside of
``tenant()``, Piccolo's own query is sent.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from piccolo.columns import Column, ForeignKey
from piccolo.columns.combination import And
from piccolo.columns.m2m import M2MSelect
from piccolo.columns.readable import Readable
from piccolo.query.base import FrozenQuery, Query
from piccolo.query.methods.count import Count
from piccolo.query.methods.delete import Delete
from piccolo.query.methods.exists import Exists
from piccolo.query.methods.insert import Insert
from piccolo.query.methods.objects import Objects
from piccolo.query.methods.select import Select
from piccolo.query.methods.update import Update
from piccolo.query.mixins import OnConflict
from piccolo.querystring import QueryString, Selectable
from piccolo.table import Table as PiccoloTable

from partman.errors import NotRoutedError
from partman.grammar.names import literal, quoted
from partman.isolation.tenancy import Tenancy

if TYPE_CHECKING:
    from piccolo.custom_types import TableInstance
    from piccolo.query.mixins import WhereDelegate
    from piccolo.table import Table
else:
    Table = object  # a mixin of table classes: see tenant_table.py


class RoutedQueries(Table):
    """A table class whose queries name the tenant where the database is distributed."""

    @classmethod
    def select(cls, *columns: Selectable | str, exclude_secrets: bool = False) -> "Select[Any]":
        """Return Piccolo's query of rows as dictionaries."""
        query = super().select(*columns, exclude_secrets=exclude_secrets)
        return _as(RoutedSelect, query)

    @classmethod
    def objects(
        cls: "type[TableInstance]", *prefetch: "ForeignKey[Any] | list[ForeignKey[Any]]"
    ) -> "Objects[TableInstance]":
        """Return Piccolo's query of rows as objects."""
        query = super().objects(*prefetch)
        return _as(RoutedObjects, query)

    @classmethod
    def count(cls, column: Column | None = None, distinct: Sequence[Column] | None = None) -> Count:
        """Return Piccolo's query of a number of rows."""
        return _as(RoutedCount, super().count(column=column, distinct=distinct))

    @classmethod
    def exists(cls) -> "Exists[Any]":
        """Return Piccolo's query of whether there is a row."""
        return _as(RoutedExists, super().exists())

    @classmethod
    def insert(cls: "type[TableInstance]", *rows: "TableInstance") -> "Insert[TableInstance]":
        """Return Piccolo's insertion of rows."""
        query = super().insert(*rows)
        return _as(RoutedInsert, query)

    @classmethod
    def update(
        cls,
        values: dict[Column | str, Any] | None = None,
        force: bool = False,
        use_auto_update: bool = True,
        **kwargs: Any,
    ) -> "Update[Any]":
        """Return Piccolo's change of rows."""
        query = super().update(values, force, use_auto_update, **kwargs)
        return _as(RoutedUpdate, query)

    @classmethod
    def delete(cls, force: bool = False) -> Delete:
        """Return Piccolo's deletion of rows."""
        return _as(RoutedDelete, super().delete(force))


Q = TypeVar("Q", bound=Query[Any, Any])


def routed_tenant(table: type[PiccoloTable]) -> object | None:
    """Return the ID of the tenant that a query must name now: see TenantTransaction.

    None on a single server and outside of ``tenant()``.
    """
    current_transaction = getattr(table._meta.db, "current_transaction", None)
    return current_transaction and getattr(current_transaction.get(), "routed_tenant", None)


def tenant_of_block(table: type[PiccoloTable]) -> object | None:
    """Return the ID of the tenant in whose ``tenant()`` block we are; None outside."""
    current_transaction = getattr(table._meta.db, "current_transaction", None)
    block = current_transaction and current_transaction.get()
    return None if getattr(block, "over", True) else getattr(block, "tenant_id", None)


class _OfTenant(And):
    """A condition on the tenant, and the query's own, which may be raw SQL with an OR."""

    __slots__ = ()

    @property
    def querystring(self) -> QueryString:
        """The conditions of a SELECT."""
        return _both(self.first.querystring, self.second.querystring)

    @property
    def querystring_for_update_and_delete(self) -> QueryString:
        """The conditions of an UPDATE or a DELETE."""
        return _both(
            self.first.querystring_for_update_and_delete,
            self.second.querystring_for_update_and_delete,
        )


def _both(first: QueryString, second: QueryString) -> QueryString:
    return QueryString("{} AND ({})", first, second)


class _Following(QueryString):
    """The SQL of a query, for the tenant in whose block it is sent.

    A query that is the value of a condition becomes SQL when the condition is written, and that may
    be in another block.
    """

    __slots__ = ("_query", "_tenant")

    _query: "_Routed"
    _tenant: object

    @classmethod
    def of(cls, query: "_Routed", string: QueryString) -> "_Following":
        """Return it with the SQL for the present tenant, which ``query`` has made."""
        made = cls(string.template, *string.args, query_type=string.query_type, table=string.table)
        made._query, made._tenant = _copy(query), routed_tenant(query.table)
        return made

    def bundle(self, *arguments: Any, **options: Any) -> Any:
        """Return the parts of the SQL."""
        if routed_tenant(self._query.table) == self._tenant:
            return super().bundle(*arguments, **options)
        [current] = self._query.querystrings
        return current.bundle(*arguments, **options)


class _FrozenStrings(list[QueryString]):
    """The SQL of a frozen query, for a single server."""

    unfrozen: "_Routed"
    """The query that it was made of."""


class _Routed(Query[Any, Any]):
    """A query of a tenant table. A mixin of Piccolo's classes, without attributes of its own."""

    __slots__ = ()

    @property
    def querystrings(self) -> Sequence[QueryString]:
        """The SQL, for the tenant whose block we are in. Raises NotRoutedError."""
        if routed_tenant(self.table) is None:
            return super().querystrings
        strings = self._frozen_querystrings
        query = strings.unfrozen if isinstance(strings, _FrozenStrings) else self
        return [_Following.of(query, each) for each in query.routed_querystrings()]

    def freeze(self) -> FrozenQuery:
        """Keep the SQL for a single server; for a distributed database it depends on the tenant."""
        if routed_tenant(self.table) is not None:
            return FrozenQuery(_copy(self))
        unfrozen, frozen = _copy(self), super().freeze()
        strings = _FrozenStrings(frozen.query.querystrings)
        strings.unfrozen = unfrozen
        frozen.query._frozen_querystrings = strings  # noqa: SLF001
        return frozen

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL that names the tenant."""
        # The other delegates stay the query's: Piccolo stores in them which columns it selects.
        query: Any = copy.copy(self)
        where: WhereDelegate = copy.copy(query.where_delegate)
        own = where._where  # noqa: SLF001
        condition = _tenant_column(self.table) == routed_tenant(self.table)
        where._where = _OfTenant(condition, own) if own else condition  # noqa: SLF001
        query.where_delegate = where
        querystrings: Sequence[QueryString] = query.default_querystrings
        return querystrings


class RoutedSelect(_Routed, Select[Any]):
    """``select()``, which the queries of objects and of counts are made of."""

    __slots__ = ()

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL that names the tenant. Raises NotRoutedError."""
        for column in self.columns_delegate.selected_columns:
            if isinstance(column, M2MSelect):
                raise NotRoutedError(
                    f"{self.table.__name__}.{column.m2m._meta.name} was selected through a joining "
                    "table. On a distributed database that query would go to every node. Nothing "
                    "was run. Use get_m2m() of a row, or select from the joining table."
                )
        return super().routed_querystrings()

    def _get_joins(self, columns: Sequence[Selectable]) -> list[str]:
        tenant = routed_tenant(self.table)
        if tenant is None:
            joins: list[str] = super()._get_joins(columns)
            return joins
        chains = (column._meta.call_chain for column in _columns(columns))
        return list(dict.fromkeys(join for chain in chains for join in _joins(chain, tenant)))


class RoutedObjects(_Routed, Objects[Any]):
    """``objects()``."""

    __slots__ = ()

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL that names the tenant."""
        select = RoutedSelect(table=self.table)
        for name in _delegates(Objects):
            if name in _delegates(Select):
                setattr(select, name, getattr(self, name))
        if prefetched := self.prefetch_delegate.fk_columns:
            select.columns(*self.table.all_columns())
            for key in prefetched:
                # Objects between two prefetched ones are loaded whole, as Piccolo does.
                for each in (key, *key._meta.call_chain):
                    select.columns(*each.all_columns())
            select.output_delegate.output(nested=True)
        return select.querystrings


class RoutedCount(_Routed, Count):
    """``count()``."""

    __slots__ = ()

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL that names the tenant."""
        return self.default_querystrings  # of the table's select()


class RoutedExists(_Routed, Exists[Any]):
    """``exists()``."""

    __slots__ = ()

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL that names the tenant."""
        select = RoutedSelect(table=self.table)
        select.where_delegate = self.where_delegate
        return [QueryString('SELECT EXISTS({}) AS "exists"', select.querystrings[0])]


class RoutedInsert(_Routed, Insert[Any]):
    """``insert()``, whose rows have their tenant."""

    __slots__ = ()

    def routed_querystrings(self) -> Sequence[QueryString]:
        """Return the SQL, where a conflict of the primary key is one of its distributed form."""
        query = copy.copy(self)
        query.on_conflict_delegate = copy.copy(self.on_conflict_delegate)
        items = self.on_conflict_delegate._on_conflict.on_conflict_items  # noqa: SLF001
        query.on_conflict_delegate._on_conflict = OnConflict(  # noqa: SLF001
            [replace(each, target=self._of_tenant(each.target)) for each in items]
        )
        querystrings: Sequence[QueryString] = query.default_querystrings
        return querystrings

    def _of_tenant(self, target: Any) -> Any:
        key = self.table._meta.primary_key
        columns = target if isinstance(target, tuple) else (target,)
        is_key = len(columns) == 1 and columns[0] is key
        return (_tenant_column(self.table), key) if is_key else target


class RoutedUpdate(_Routed, Update[Any]):
    """``update()``."""

    __slots__ = ()


class RoutedDelete(_Routed, Delete):
    """``delete()``."""

    __slots__ = ()


def _as(kind: type[Q], query: Query[Any, Any]) -> Q:
    """Make a query one of the classes above, which have the attributes of Piccolo's and no more."""
    query.__class__ = kind
    return cast("Q", query)


def _copy(query: Any) -> Any:
    """Return a copy of a query to which clauses can be added."""
    copied = copy.copy(query)
    for name in _delegates(type(query)):  # type: ignore[arg-type]
        setattr(copied, name, copy.copy(getattr(query, name)))
    return copied


@functools.cache
def _delegates(kind: type) -> tuple[str, ...]:
    return tuple(name for name in _slots(kind) if name.endswith("_delegate"))


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(name for each in kind.__mro__ for name in vars(each).get("__slots__", ()))


def _columns(selected: Sequence[Selectable]) -> Iterator[Column]:
    """Yield the columns that are selected, also in functions and in raw SQL."""
    for each in selected:
        if isinstance(each, Column):
            yield each
        elif isinstance(each, Readable | QueryString):
            yield from _columns(each.columns)


def _joins(chain: Sequence[ForeignKey[Any]], tenant: object) -> Iterator[str]:
    """Yield the joins by a chain of references; they compare the tenants of tenant tables."""
    for index, key in enumerate(chain):
        left_table = key._meta.table
        left = (
            f'"{chain[index - 1].table_alias}"'
            if index
            else left_table._meta.get_formatted_tablename()
        )
        reference = key._foreign_key_meta  # noqa: SLF001
        right_table = reference.resolved_references
        right = f'"{key.table_alias}"'
        target = reference.resolved_target_column._meta.db_column_name
        condition = f'{left}."{key._meta.db_column_name}" = {right}."{target}"'
        if tenancy := _tenancy(right_table):
            column = quoted(tenancy.column)
            same = f"{left}.{column}" if _tenancy(left_table) else _in_template(tenant)
            condition += f" AND {right}.{column} = {same}"
        yield f"LEFT JOIN {right_table._meta.get_formatted_tablename()} {right} ON ({condition})"


def _in_template(value: object) -> str:
    """Return a value as an SQL literal without braces, which Piccolo cannot escape."""
    text = literal(str(value))
    if "{" not in text and "}" not in text:
        return text
    escaped = text if text.startswith("E") else f"E{text}"
    return escaped.replace("{", r"\x7B").replace("}", r"\x7D")


def _tenancy(table: type[PiccoloTable]) -> Tenancy | None:
    """Return the tenancy of a tenant table; None for another table."""
    tenancy: Tenancy | None = getattr(table, "_tenancy", None)
    return tenancy


def _tenant_column(table: Any) -> Column:
    column: Column = table._meta.get_column_by_name(table.declared_tenancy().attribute)
    return column
