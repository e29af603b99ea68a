"""Make rows that satisfy keys, checks, choices and the references within a tenant."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from piccolo.columns import Column, ForeignKey, Serial
from piccolo.columns.choices import Choice
from piccolo.querystring import QueryString
from piccolo.table import Table

from partman.errors import PartmanError
from partman.grammar.names import quoted
from partman.isolation import TenantTable
from partman.tenant import current_tenant
from partman.tenant.transaction import TenantTransaction
from partman.testing.database import MigratedDatabase
from partman.testing.shapes import Condition, TableShape, read_shape
from partman.testing.values import Found, find_values

if TYPE_CHECKING:
    from asyncpg import Connection, Record

T = TypeVar("T", bound=Table)

_MOST = 2000
"""Number of combinations that are tried for the checks on several columns of a row."""
_AT_ONCE = 100
"""Number of combinations in one query."""
_PER_COLUMN = 6
"""Number of values of one column that are tried."""


class RowNotMadeError(PartmanError):
    """The factory has found no values with which the database accepts a row."""


class Factory:
    """Makes rows of any table class: ``partner = await make(Partner, name="Acme")``."""

    def __init__(self, database: MigratedDatabase) -> None:
        self.database = database
        self._numbers = itertools.count(1)
        self._making: list[type[Table]] = []

    async def __call__(self, table: type[T], /, **given: Any) -> T:
        """Store a row, and return it.

        ``given`` are values by the names of the class's attributes; a reference may be a row. The
        other columns get their default, or nothing where they may be empty. Required ones, and
        those of a unique key, get a new value that the checks accept; a required reference gets a
        row that is made for it.

        A row of a tenant belongs to the tenant of the ``tenant()`` block around the call, to that
        of a given row, or else to a new one. In a block it is stored with the application's
        privileges, and is part of the block's transaction. Elsewhere, and for tables that are no
        tenant's, it is stored by the owner at once.

        Raises RowNotMadeError.
        """
        if unknown := given.keys() - {column._meta.name for column in table._meta.columns}:
            raise _failed(table, f"it has no column {', '.join(sorted(unknown))}", "Correct it")
        if table in self._making:
            way = " -> ".join(each.__name__ for each in (*self._making, table))
            raise _failed(table, f"its required references form a circle: {way}", "Give one row")
        self._making.append(table)
        try:
            given = await self._with_tenant(table, given)
            row = await self._with_references(table, given)
        finally:
            self._making.pop()
        by_tenant = self._in_block() and issubclass(table, TenantTable)
        try:
            async with self.database.as_owner() as owner:
                await self._fill(owner.connection, row, given)
                if not by_tenant:
                    await table.insert(row)
            if by_tenant:
                await table.insert(row)
        except asyncpg.PostgresError as error:
            raise _failed(
                table, f"{type(error).__name__}: {error}", "Give the columns that it names"
            ) from error
        return row

    async def tenant(self, **given: Any) -> Table:
        """Store a new tenant: a row of the tenancy's table. Raises RowNotMadeError."""
        return await self(self.database.tenants_table(), **given)

    # The values of a row

    async def _with_tenant(self, table: type[Table], given: Mapping[str, Any]) -> dict[str, Any]:
        if not issubclass(table, TenantTable):
            return dict(given)
        attribute = table.declared_tenancy().attribute
        if attribute in given:
            return dict(given)
        if self._in_block():
            return {**given, attribute: current_tenant(engine=self.database.engine)}
        for value in given.values():
            if isinstance(value, TenantTable):
                return {**given, attribute: getattr(value, attribute)}
        reference = table._meta.get_column_by_name(attribute)
        assert isinstance(reference, ForeignKey)
        return {**given, attribute: await self(_referred_class(reference))}

    async def _with_references(self, table: type[T], given: dict[str, Any]) -> T:
        """Return a row that has what is given, and its required references."""
        row = table(_ignore_missing=True)
        for name, value in given.items():
            setattr(row, name, _plain(value))
        for column in table._meta.columns:
            name = column._meta.name
            if isinstance(column, ForeignKey) and not column._meta.null and name not in given:
                setattr(row, name, _plain(await self._referred(table, column, given)))
        return row

    async def _fill(
        self, connection: "Connection[Record]", row: Table, given: Mapping[str, Any]
    ) -> None:
        """Give the other columns values that the database accepts."""
        shape, number = await self._shape(connection, type(row)), next(self._numbers)
        names = {
            column._meta.db_column_name: column._meta.name
            for column in row._meta.columns
            if column._meta.name not in given and not isinstance(column, ForeignKey | Serial)
        }
        choices = {
            name: await self._choices(
                connection, shape, row, row._meta.get_column_by_name(attribute), number
            )
            for name, attribute in names.items()
        }
        for name, values in choices.items():
            setattr(row, names[name], values[0])
        for condition in shape.conditions:
            await self._satisfy(connection, shape, row, condition, choices)

    async def _shape(self, connection: "Connection[Record]", table: type[Table]) -> TableShape:
        shapes = self.database.shapes
        if table not in shapes:
            shape = await read_shape(connection, table)
            if shape is None:
                raise _failed(table, "the database has no such table", "Write its migration")
            shapes[table] = shape
        return shapes[table]

    async def _referred(
        self, table: type[Table], column: ForeignKey[Any], given: Mapping[str, Any]
    ) -> Table:
        references = _referred_class(column)
        if references is table:
            raise _failed(
                table, f"{column._meta.name} refers to the table itself", "Give that column a row"
            )
        if issubclass(references, TenantTable) and issubclass(table, TenantTable):
            attribute = references.declared_tenancy().attribute
            return await self(references, **{attribute: given[attribute]})
        return await self(references)

    async def _choices(
        self,
        connection: "Connection[Record]",
        shape: TableShape,
        row: Table,
        column: Column,
        number: int,
    ) -> list[Any]:
        """Return the values that a column may have, the best one first."""
        name, value = column._meta.db_column_name, getattr(row, column._meta.name)
        if name not in shape.columns or (column._meta.primary_key and value is not None):
            return [value]  # a generated key, or a column that a later migration adds
        if offered := (column._meta.get_choices_dict() or {}):
            values = [_plain(each["value"]) for each in offered.values()]
            turned = values[number % len(values) :] + values[: number % len(values)]
            return turned if value is None and not column._meta.null else [value, *turned]
        is_free = any(name in condition.columns for condition in shape.conditions)
        wanted = not column._meta.null and (name in shape.unique or value in ("", None))
        if not wanted and not is_free:
            return [value]
        found = find_values(connection, shape.columns[name], number)
        made = [each.value async for each in _first(found, _PER_COLUMN if is_free else 1)]
        if not wanted:
            return [value, *made]
        if not made:
            raise _failed(
                type(row),
                f"no value is known for {column._meta.name}, {shape.columns[name].type}",
                "Give one",
            )
        return made

    async def _satisfy(
        self,
        connection: "Connection[Record]",
        shape: TableShape,
        row: Table,
        condition: Condition,
        choices: Mapping[str, list[Any]],
    ) -> None:
        """Choose values with which a check on several columns is true."""
        names = {c._meta.db_column_name: c._meta.name for c in type(row)._meta.columns}
        if not all(name in names for name in condition.columns):
            return  # the class does not have all of them
        each = [
            choices.get(name, [_plain(getattr(row, names[name]))]) for name in condition.columns
        ]
        combinations = list(itertools.islice(itertools.product(*each), _MOST))
        for start in range(0, len(combinations), _AT_ONCE):
            tried = combinations[start : start + _AT_ONCE]
            number = await _first_that_fits(connection, shape, condition, tried)
            if number is not None:
                for name, value in zip(condition.columns, tried[number], strict=True):
                    if name in choices:
                        setattr(row, names[name], value)
                return
        raise _failed(type(row), f"no values satisfy the check {condition.sql}", "Give them")

    def _in_block(self) -> bool:
        current = self.database.engine.current_transaction.get()
        return isinstance(current, TenantTransaction) and not current.over


async def _first_that_fits(
    connection: "Connection[Record]",
    shape: TableShape,
    condition: Condition,
    combinations: Sequence[Sequence[Any]],
) -> int | None:
    """Return the position of the first combination that satisfies the condition."""
    types = [shape.columns[name].type for name in condition.columns]
    numbers = itertools.count(1)
    rows = ", ".join(
        f"({position}, {', '.join(f'${next(numbers)}::{each}' for each in types)})"
        for position in range(len(combinations))
    )
    found: int | None = await connection.fetchval(
        f"SELECT partman_position FROM (VALUES {rows}) AS made "
        f"(partman_position, {', '.join(map(quoted, condition.columns))}) "
        f"WHERE ({condition.sql}) IS NOT FALSE ORDER BY partman_position LIMIT 1",
        *itertools.chain.from_iterable(combinations),
    )
    return found


async def _first(found: AsyncGenerator[Found], most: int) -> AsyncIterator[Found]:
    async with aclosing(found):
        async for each in found:
            yield each
            most -= 1
            if not most:
                return


def _referred_class(column: ForeignKey[Any]) -> type[Table]:
    return column._foreign_key_meta.resolved_references  # noqa: SLF001


def _plain(value: Any) -> Any:
    """Return what the driver takes: the key of a row, the value of a choice."""
    if isinstance(value, Table):
        return getattr(value, value._meta.primary_key._meta.name)
    if isinstance(value, Choice):
        return value.value
    return None if isinstance(value, QueryString) else value


def _failed(table: type[Table], why: str, remedy: str) -> RowNotMadeError:
    return RowNotMadeError(
        f"Cannot make a row of {table.__name__}: {why}. No row was stored. {remedy}: "
        f"make({table.__name__}, column=value)"
    )
