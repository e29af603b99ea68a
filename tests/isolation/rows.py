"""Generate rows for any table, from its types, checks and references."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from partman.testing.values import find_values
from tests.isolation.tables import (
    Column,
    Connection,
    Table,
    read_console,
    read_definers,
    read_tables,
)

Row = Mapping[str, str]
"""A value for each column, as SQL."""

_FIRST = 0xA << 124
"""The first UUID, far from those of the migrations."""


OWN, OTHER = UUID(int=_FIRST + 1), UUID(int=_FIRST + 2)


@dataclass
class World:
    """Tables, and two tenants with two rows in each: with all, and with required references."""

    tables: tuple[Table, ...]
    functions: tuple[str, ...]
    """A call of each function that has its owner's privileges."""
    console: Mapping[str, list[str]]
    """The columns of each table of the console."""
    own: UUID = OWN
    other: UUID = OTHER
    rows: dict[tuple[str, UUID], list[Row]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10))

    @classmethod
    async def create(
        cls, connection: Connection, tenants: tuple[UUID, UUID] = (OWN, OTHER), first: int = 10
    ) -> "World":
        """Fill the database with values from a number on; no policy applies to the connection."""
        world = cls(
            await read_tables(connection),
            await read_definers(connection),
            await read_console(connection),
            *tenants,
            numbers=itertools.count(first),
        )
        for table in world.tables:
            for tenant in (world.own, world.other):
                for number in range(1 if table.is_tenants else 2):
                    row = await world.new_row(connection, table, tenant)
                    if number:
                        row = table.without_references(row)
                    await connection.execute(f"INSERT INTO {table.name} {values(row)}")
                    stored = await connection.fetchrow(
                        "SELECT "
                        + ", ".join(f"quote_nullable({column.name})" for column in table.columns)
                        + f" FROM {table.name} WHERE {matching(row, table.key)}"
                    )
                    assert stored is not None
                    names = [column.name for column in table.columns]
                    world.rows.setdefault((table.name, tenant), []).append(
                        dict(zip(names, stored, strict=True))
                    )
        return world

    def under(self, names: Mapping[str, str]) -> "World":
        """Return the same rows in tables that have other names, without functions and console."""

        def renamed(table: Table) -> Table:
            references = tuple(replace(each, table=names[each.table]) for each in table.references)
            return replace(table, name=names[table.name], references=references)

        rows = {(names[table], tenant): rows for (table, tenant), rows in self.rows.items()}
        tables = tuple(map(renamed, self.tables))
        return replace(self, tables=tables, functions=(), console={}, rows=rows)

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def number_of_rows(self, table: Table, tenant: UUID, *, given: tuple[str, ...] = ()) -> int:
        """Return the number of rows, or of those that have values in the given columns."""
        rows = self.rows[table.name, tenant]
        return sum(all(row[column] != "NULL" for column in given) for row in rows)

    def the_other(self, tenant: UUID) -> UUID:
        return self.own if tenant == self.other else self.other

    async def new_row(self, connection: Connection, table: Table, tenant: UUID) -> dict[str, str]:
        """Return a row to be added: required columns, its key, and all its references."""
        number = next(self.numbers)
        row = {
            column.name: await _value(connection, column, number)
            for column in table.columns
            if column.required or (column.name in table.key and column.writable)
        }
        for reference in table.outgoing:
            known = self.rows.get((reference.table, tenant))
            if known:  # the first row cannot refer to the table itself
                row |= dict(
                    zip(reference.columns, (known[0][r] for r in reference.referenced), strict=True)
                )
        return row | {table.tenant: f"'{tenant}'"}


def values(row: Row) -> str:
    """Return the row in the form of INSERT."""
    return f"({', '.join(row)}) VALUES ({', '.join(row.values())})"


def matching(row: Row, columns: tuple[str, ...], alias: str = "") -> str:
    """Return a condition that matches the row."""
    return " AND ".join(f"{alias}{column} = {row[column]}" for column in columns)


async def _value(connection: Connection, column: Column, number: int) -> str:
    async for found in find_values(connection, column.shape, number):
        return found.sql
    raise AssertionError(f"no value for {column}: teach partman/testing/values.py one")
