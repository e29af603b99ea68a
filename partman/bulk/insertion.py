"""Insert portions of rows, and find the row that the database refuses."""

import asyncio
import itertools
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.bulk.given_rows import Portion
from partman.bulk.target import Target
from partman.errors import RowRefusedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

_LARGEST_STATEMENT = 32 * 2**20
"""Characters of text in a statement; PostgreSQL's limit for a message is 1 GB."""

_IN_A_BLOCK = (
    "None of the rows were inserted; the tenant() block can go on. Correct the row, and insert all "
    "of them again."
)
_MOST_ARGUMENTS = 10_000
"""Of a statement; the protocol allows 32,767, but planning takes longer the more there are."""

_WHOLE, _PORTION = "partman_bulk_insert", "partman_bulk_portion"

_OF_DRIVER = re.compile(
    r"invalid input for query argument \$(\d+): .*"
    r" \((?:invalid array element(?: at index 0)?: )?(.*)\)",
    re.DOTALL,
)

# Data exceptions, constraints, policies and privileges, errors raised by triggers, check options.
_A_ROW_MAY_CAUSE = ("22", "23", "42501", "P0", "44")


class Insertion:
    """One bulk insert, in the transaction of a connection that nobody else uses meanwhile."""

    def __init__(
        self,
        connection: "Connection[Record] | PoolConnectionProxy[Record]",
        target: Target,
        then: str = _IN_A_BLOCK,
        *,
        is_distributed: bool = False,
    ) -> None:
        """``then`` ends the message about a row that is refused: the state, and what to do."""
        self._connection = connection
        self._target = target
        self._then = then
        self._is_distributed = is_distributed

    async def insert(self, portions: Iterable[Portion]) -> int:
        """Insert all rows or none; return the number inserted. Raises RowRefusedError."""
        await self._connection.execute(f"SAVEPOINT {_WHOLE}")
        try:
            count = 0
            for portion in portions:
                count += await self._insert_portion(portion)
        except BaseException:
            # Also when it was cancelled: whoever catches that must not commit a part of the rows.
            undoing = asyncio.ensure_future(self._undo(_WHOLE))
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.shield(undoing)
            raise
        await self._connection.execute(f"RELEASE SAVEPOINT {_WHOLE}")
        return count

    async def _insert_portion(self, portion: Portion) -> int:
        if len(portion) > 1 and self._is_too_large(portion):
            middle = len(portion) // 2
            parts = portion.part(0, middle), portion.part(middle, len(portion))
            return sum([await self._insert_portion(part) for part in parts])
        try:
            return await self._try(portion)
        except asyncpg.PostgresError as error:
            # A statement that fails without rows lacks a privilege, which is no row's fault.
            if not _may_be_of_a_row(error) or await self._error_of(portion.part(0, 0)):
                raise
            raise await self._refused(portion, error) from error

    def _is_too_large(self, portion: Portion) -> bool:
        arguments = len(portion) * len(portion.columns)
        if self._is_distributed and arguments > _MOST_ARGUMENTS:
            return True
        return _characters(portion) > _LARGEST_STATEMENT

    async def _refused(
        self, portion: Portion, error: asyncpg.PostgresError
    ) -> asyncpg.PostgresError | RowRefusedError:
        """Return the error for the first row that the database refuses."""
        while len(portion) > 1:
            middle = len(portion) // 2
            refused = await self._error_of(portion.part(0, middle))
            portion = portion.part(0, middle) if refused else portion.part(middle, len(portion))
        refused = await self._error_of(portion)
        # No row alone is refused: a trigger that looks at all rows of a statement, for one.
        return error if refused is None else _explained(portion, refused, self._then)

    async def _error_of(self, portion: Portion) -> asyncpg.PostgresError | None:
        try:
            await self._try(portion)
        except asyncpg.PostgresError as error:
            if not _may_be_of_a_row(error):
                raise
            return error
        return None

    async def _try(self, portion: Portion) -> int:
        """Insert rows; if the database refuses them, nothing of them is left."""
        if self._is_distributed and not len(portion):
            return 0
        await self._connection.execute(f"SAVEPOINT {_PORTION}")
        try:
            tag: str = await self._connection.execute(*self._statement(portion))
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            if not self._connection.is_closed():
                await self._undo(_PORTION)
            raise
        await self._connection.execute(f"RELEASE SAVEPOINT {_PORTION}")
        return int(tag.rpartition(" ")[2])

    def _statement(self, portion: Portion) -> tuple[Any, ...]:
        """Return the SQL and its arguments."""
        if not self._is_distributed:
            return self._target.insert_sql(portion.columns), *portion.values
        sql = self._target.insert_values_sql(portion.columns, len(portion))
        return sql, *itertools.chain(*zip(*portion.values, strict=True))

    async def _undo(self, savepoint: str) -> None:
        await self._connection.execute(
            f"ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}"
        )


def _characters(portion: Portion) -> int:
    return sum(
        len(value)
        for values in portion.values
        for value in values
        if isinstance(value, str | bytes)
    )


def _may_be_of_a_row(error: asyncpg.PostgresError) -> bool:
    return str(error.sqlstate).startswith(_A_ROW_MAY_CAUSE)


def _explained(portion: Portion, error: asyncpg.PostgresError, then: str) -> RowRefusedError:
    values = {
        column.name: "(secret)" if column.secret and given[0] is not None else given[0]
        for column, given in zip(portion.columns, portion.values, strict=True)
    }
    shown = ", ".join(f"{name}={_shortened(value)}" for name, value in values.items())
    return RowRefusedError(
        f"rows[{portion.first}] was refused: {_reason(portion, error)}. Its values: {shown}. "
        f"{then}",
        portion.first,
        values,
    )


def _reason(portion: Portion, error: asyncpg.PostgresError) -> str:
    """Return the error's message; where the driver names an argument, with the column's name."""
    message = str(error.args[0])
    if of_driver := _OF_DRIVER.fullmatch(message):
        return f"{portion.columns[int(of_driver[1]) - 1].name}: {of_driver[2]}"
    return message


def _shortened(value: Any) -> str:
    shown = repr(value) if isinstance(value, str) or value is None else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
