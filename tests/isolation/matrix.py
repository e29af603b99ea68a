"""Run the cells of the matrix, each in a savepoint, and compare the results."""

import io
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import asyncpg

from tests.isolation.cells import Cell, Expected, Setting, Way, cells
from tests.isolation.rows import World
from tests.isolation.tables import Connection


@dataclass(frozen=True)
class Failure:
    """A cell whose result differs from the rule."""

    cell: Cell
    found: str

    def __str__(self) -> str:
        return f"{self.cell}: {self.found}, not {_text(self.cell.expected)}\n    {self.cell.sql}"


class Matrix:
    """The cells of a database, created before the database is changed."""

    def __init__(self, world: World, made: list[Cell], rows: dict[UUID, str]) -> None:
        self.world = world
        self.cells = made
        self._others_rows = rows

    @classmethod
    async def create(cls, connection: Connection, world: World, *, with_cells: bool = True) -> Self:
        """Without cells, it knows how the rows are, and that is quickly made."""
        made = [cell async for cell in cells(connection, world)] if with_cells else []
        empty = cls(world, made, {})
        rows = {t: await empty._rows_of_others(connection, t) for t in (world.own, world.other)}
        return cls(world, made, rows)

    async def failures(
        self, connection: Connection, tables: Collection[str] = (), *, all_of_them: bool = True
    ) -> list[Failure]:
        """Return the failures of the given tables, or of all. Must be called in a transaction.

        The connection may become both roles, and no policy applies to it.
        """
        failures = []
        for cell in self.cells:
            if tables and cell.table not in tables:
                continue
            found = await self._run(connection, cell)
            if found:
                failures.append(Failure(cell, found))
                if not all_of_them:
                    break
        return failures

    async def others_are_unchanged(self, connection: Connection, tenant: UUID) -> bool:
        """Whether the rows of other tenants are unchanged, byte for byte."""
        return await self._rows_of_others(connection, tenant) == self._others_rows[tenant]

    async def _run(self, connection: Connection, cell: Cell) -> str:
        """Return the failure, or an empty string."""
        await self._enter(connection, cell)
        try:
            count, tenants = await self._send(connection, cell)
            await self._leave(connection)
        except asyncpg.PostgresError as error:
            return self._refused(cell, error)
        else:
            if count != cell.expected:
                return f"{count} rows"
            tenant = self.tenant_of(cell)
            if others := set(tenants) - {str(tenant)}:
                return f"rows of {others}"
            if not await self.others_are_unchanged(connection, tenant):
                return "changed rows of another tenant"
            return ""
        finally:
            await self._undo(connection, cell)

    async def _enter(self, connection: Connection, cell: Cell) -> None:
        await connection.execute(
            f"SAVEPOINT cell; SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL ROLE {cell.role};"
            + self.setting_of(cell)
        )

    async def _send(self, connection: Connection, cell: Cell) -> tuple[int, list[str]]:
        """Return the number of reached rows, and their tenants if the statement returns them."""
        # The driver's public copy methods create the statement themselves.
        if cell.way is Way.COPY_TO:
            output = io.BytesIO()
            await connection._copy_out(cell.sql, output, None)  # type: ignore[attr-defined]
            tenants = output.getvalue().decode().split()
            return len(tenants), tenants
        if cell.way is Way.COPY_FROM:
            row = io.BytesIO(f"{self.tenant_of(cell)}\n".encode())
            tag = await connection._copy_in(cell.sql, row, None)  # type: ignore[attr-defined]
            return _number(tag), []
        statement = await connection.prepare(cell.sql, name="")
        rows = await statement.fetch()
        return _number(statement.get_statusmsg()), [row[0] for row in rows]

    async def _leave(self, connection: Connection) -> None:
        """Become the one again who sees all rows."""
        await connection.execute("RESET ROLE")

    async def _undo(self, connection: Connection, cell: Cell) -> None:
        await connection.execute("ROLLBACK TO cell; RELEASE cell")

    def _refused(self, cell: Cell, error: asyncpg.PostgresError) -> str:
        """Return the failure, or an empty string."""
        refused = error.sqlstate
        return "" if allows(cell.expected, refused) else f"refused with {refused} ({error})"

    def tenant_of(self, cell: Cell) -> UUID:
        return self.world.other if cell.setting is Setting.OTHER else self.world.own

    def setting_of(self, cell: Cell) -> str:
        """Return the statement that sets the tenant, or an empty string."""
        setting = cell.setting
        if setting is Setting.UNSET:
            return ""
        named = {Setting.OWN: str(self.world.own), Setting.OTHER: str(self.world.other)}
        value = named.get(setting, "" if setting is Setting.EMPTY else "no id")
        return f"SET LOCAL partman.organization_id = '{value}'"

    async def _rows_of_others(self, connection: Connection, tenant: UUID) -> str:
        digests = " || ".join(
            f"(SELECT coalesce(md5(string_agg(t::text, ';' ORDER BY t::text)), '-')"
            f" FROM {table.name} t WHERE {table.tenant} <> '{tenant}')"
            for table in self.world.tables
        )
        return str(await connection.fetchval(f"SELECT {digests}"))


def _number(tag: str | None) -> int:
    last = (tag or "none").split()[-1]
    return int(last) if last.isdigit() else 0


def allows(expected: Expected, sqlstate: str) -> bool:
    return isinstance(expected, frozenset) and sqlstate in expected


def _text(expected: Expected) -> str:
    return f"{expected} rows" if isinstance(expected, int) else f"refused with {set(expected)}"
