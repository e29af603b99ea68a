"""What rows and values a remedy would take with it, counted in the live database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.ddl.change import Change
from partman.catalog.model import (
    Catalog,
    Column,
    Enum,
    Object,
    Reference,
    Sequence,
    Table,
    View,
)
from partman.database.read_only import reading
from partman.grammar.names import literal
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PATIENCE = 1000
"""Milliseconds for each count; what takes longer is estimated."""

_ESTIMATE = """
SELECT reltuples::bigint, (
    SELECT null_frac FROM pg_stats
    WHERE (schemaname, tablename) = (nspname, relname) AND attname = $2)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = to_regclass($1)
"""


@dataclass(frozen=True)
class Loss:
    """Rows or values that a statement takes with it."""

    reference: Reference
    """The object that has them."""
    noun: str
    """What is lost: row, value."""
    query: str
    """Counts them."""
    table: str
    column: str = ""
    number: int | None = None
    """None if it is not known."""
    is_estimate: bool = False

    def __str__(self) -> str:
        """Return the number in words: ``24 values of column public.partners.website``."""
        if self.number is None:
            return f"an unknown number of {self.noun}s of {self.reference}"
        about = "about " if self.is_estimate else ""
        return f"{about}{counted(self.number, self.noun)} of {self.reference}"


def losses_of(change: Change, expected: Catalog, found: Catalog) -> Mapping[str, Loss]:
    """Return what the statements of a change may take with them, by statement."""
    if not change.forwards:
        return {}
    statement = change.forwards[0]
    if change.dropped is not None:
        loss = _of_dropped(change.dropped)
        return {statement: loss} if loss else {}
    obj, before = (catalog.by_reference.get(change.reference) for catalog in (expected, found))
    match obj, before:
        case Column(), Column() if obj.type != before.type:
            # What does not fit is cut off or rounded.
            return {sql: _values(before) for sql in change.forwards if " TYPE " in sql}
        case Enum(), Enum() if lost := [each for each in before.labels if each not in obj.labels]:
            return {statement: _labels(before, lost, found)}
    return {}


def _of_dropped(obj: Object) -> Loss | None:
    match obj:
        case Table():
            return _rows(obj)
        case View() if obj.kind == "materialized view":
            return _rows(obj)
        case Column() if obj.generated is None:
            return _values(obj)
        case Sequence() if obj.owned_by is None:
            query = f"SELECT count(*) FROM {obj.name} WHERE is_called"
            return Loss(obj.reference, "position", query, obj.name)
    return None


async def counted_in(settings: Settings, losses: Iterable[Loss]) -> Mapping[Loss, Loss]:
    """Return each loss with its number, from the live database, which is only read.

    A count that takes too long or is not allowed is replaced by the planner's estimate. Raises the
    errors of reading().
    """
    wanted = list(losses)
    if not wanted:
        return {}
    async with reading(settings, "partman: what would be lost") as connection:
        # Hidden rows are an error, and not zero rows.
        await connection.execute("SET row_security = off")
        return {loss: await _counted(connection, loss) for loss in wanted}


async def _counted(connection: "Connection[Record]", loss: Loss) -> Loss:
    await connection.execute(f"SET statement_timeout = {_PATIENCE}")
    try:
        return replace(loss, number=await connection.fetchval(loss.query))
    except asyncpg.PostgresError:
        await connection.execute("RESET statement_timeout")
        return await _estimated(connection, loss)


async def _estimated(connection: "Connection[Record]", loss: Loss) -> Loss:
    row = await connection.fetchrow(_ESTIMATE, loss.table, loss.column)
    if row is None or row[0] < 0:
        return loss
    share = 1 - (row[1] or 0) if loss.column else 1
    return replace(loss, number=_rounded(round(row[0] * share)), is_estimate=True)


def _rounded(number: int) -> int:
    """Return a number with two digits that count."""
    digits = len(str(number)) - 2
    return round(number, -digits) if digits > 0 else number


def _rows(obj: Table | View) -> Loss:
    return Loss(obj.reference, "row", f"SELECT count(*) FROM {obj.name}", obj.name)


def _values(obj: Column) -> Loss:
    table = obj.parent.name
    query = f"SELECT count({obj.name}) FROM {table}"
    return Loss(obj.reference, "value", query, table, obj.name.strip('"').replace('""', '"'))


def _labels(obj: Enum, labels: Iterable[str], found: Catalog) -> Loss:
    listed = ", ".join(map(literal, labels))
    counts = [
        f"(SELECT count(*) FROM {each.parent.name} WHERE {each.name}::text IN ({listed}))"
        for each in found.of(Column)
        if each.type == obj.name
    ]
    return Loss(obj.reference, "value", f"SELECT {' + '.join(counts) or 0}", "")
