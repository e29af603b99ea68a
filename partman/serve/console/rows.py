"""Read rows inside ``tenant()``: a page of a list, one row, and what refers to it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from piccolo.columns.combination import And, Or, Where, WhereRaw
from piccolo.query.methods.select import Select

from partman.serve.console.tables import Field, Row, ShownTable, ShownTables
from partman.serve.console.values import TEXTS, UnfitError, from_text

PAGE = 50
"""Rows of a list at a time."""
MOST_COUNTED = 10_000
"""Rows that are counted: of more, a list says that they are more."""
MOST_OPTIONS = 100
"""Rows among which one is chosen in a form; if there are more, they are searched."""

Condition = And | Or | Where | WhereRaw


@dataclass(frozen=True)
class Count:
    """A number of rows."""

    number: int

    @property
    def is_more(self) -> bool:
        """Whether there are more than were counted."""
        return self.number > MOST_COUNTED

    def __str__(self) -> str:
        """Return it for a person."""
        return f"more than {MOST_COUNTED:,}" if self.is_more else f"{self.number:,}"


@dataclass(frozen=True)
class Order:
    """The order of a list: by these fields, and then by the key."""

    fields: tuple[Field, ...]
    descending: bool = False


@dataclass(frozen=True)
class Page:
    """Rows of a list, in its order."""

    rows: Sequence[Row]
    before: bool
    """Whether there are rows before these."""
    after: bool


@dataclass(frozen=True)
class Related:
    """Rows that refer to a row by one of their fields."""

    shown: ShownTable
    field: Field
    count: Count


async def count(shown: ShownTable, where: Condition | None = None) -> Count:
    """Return the number of rows, or that they are more than MOST_COUNTED."""
    some = _select(shown, [shown.key], where).limit(MOST_COUNTED + 1)
    [found] = await shown.table.raw("SELECT count(*) AS n FROM ({}) AS t", some.querystrings[0])
    return Count(found["n"])


async def several(shown: ShownTable, where: Condition) -> list[Row]:
    """Return the rows for which a condition holds."""
    return list(await _select(shown, shown.fields, where))


async def one(shown: ShownTable, key: str, *, lock: bool = False) -> Row | None:
    """Return the row with this key; ``lock`` keeps others from changing it."""
    where = keyed(shown, [key])
    if where is None:
        return None
    query = _select(shown, shown.fields, where).first()
    row: Row | None = await (query.lock_rows("NO KEY UPDATE") if lock else query)
    return row


def keyed(shown: ShownTable, keys: Sequence[str]) -> Condition | None:
    """Return the condition that a row has one of these keys; None if one of them is no key."""
    key = shown.key
    try:
        values = [from_text(key.column, key.kind, text) for text in keys if text]
    except UnfitError:
        return None
    return key.column.is_in(values) if values and len(values) == len(keys) else None


async def page(
    shown: ShownTable,
    where: Condition | None,
    order: Order,
    *,
    after: str = "",
    before: str = "",
    size: int = PAGE,
) -> Page:
    """Return the rows after, or before, the row with a key; the first ones if there is none."""
    fields = [field for field in order.fields if field is not shown.key] + [shown.key]
    known = await one(shown, after or before) if after or before else None
    backwards = known is not None and not after
    up = order.descending == backwards
    if known is not None:
        beyond = _beyond(fields, known, up=up)
        where = beyond if where is None else And(where, beyond)
    query = _select(shown, shown.fields, where).limit(size + 1)
    for field in fields:
        query = query.order_by(field.column, ascending=up)
    found = await query
    rows, more = found[:size], len(found) > size
    if backwards:
        return Page(rows[::-1], before=more, after=True)
    return Page(rows, before=known is not None, after=more)


async def names(shown: ShownTable, target: Field, values: Iterable[Any]) -> dict[Any, str]:
    """Return the names of the rows to which values refer, by the value."""
    wanted = list({value for value in values if value is not None})
    if not wanted:
        return {}
    rows = await _select(shown, [target, *shown.names], target.column.is_in(wanted))
    return {row[target.name]: shown.name_of(row) for row in rows}


async def options(
    shown: ShownTable, target: Field, search: str = ""
) -> tuple[list[tuple[str, str]], bool]:
    """Return values to choose from, with the names of their rows, and whether there are more.

    Of rows that are called alike, the names have the values, too.
    """
    where = searched(shown, search)
    query = _select(shown, [target, shown.key, *shown.names], where).limit(MOST_OPTIONS + 1)
    for field in shown.names:
        query = query.order_by(field.column)
    rows = await query
    named = [(target.text(row[target.name]), shown.name_of(row)) for row in rows[:MOST_OPTIONS]]
    alike = Counter(name for _, name in named)
    found = [(value, name if alike[name] == 1 else f"{name} ({value})") for value, name in named]
    return found, len(rows) > MOST_OPTIONS


async def option(
    field: Field, shown: ShownTable, target: Field, text: str
) -> list[tuple[str, str]]:
    """Return the one value of a reference that a text means, with the name of its row, if any."""
    try:
        value = from_text(field.values_of, field.kind, text)
    except UnfitError:
        return []
    return [(text, name) for name in (await names(shown, target, [value])).values()]


async def related(tables: ShownTables, shown: ShownTable, row: Row) -> list[Related]:
    """Return how many rows of other tables refer to a row."""
    return [
        Related(each, field, await count(each, field.column == row[shown.key.name]))
        for each, field in tables.references_to(shown)
    ]


def searched(shown: ShownTable, text: str) -> Condition | None:
    """Return the condition that every word is in one of the texts; None for no word."""
    columns = [
        field.column for field in shown.fields if field.kind in TEXTS and not field.refers_to
    ]
    found: Condition | None = None
    for word in text.split():
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        in_one: Condition | None = None
        for column in columns:
            has = column.ilike(f"%{escaped}%")
            in_one = has if in_one is None else Or(in_one, has)
        in_one = WhereRaw("false") if in_one is None else in_one
        found = in_one if found is None else And(found, in_one)
    return found


def both(conditions: Iterable[Condition | None]) -> Condition | None:
    """Return the condition that all of them hold; None is none."""
    found: Condition | None = None
    for each in conditions:
        if each is not None:
            found = each if found is None else And(found, each)
    return found


def _select(shown: ShownTable, fields: Sequence[Field], where: Condition | None) -> Select[Any]:
    needed = {field.name: field for field in fields}
    currencies = {field.currency_of for field in fields}
    needed |= {field.name: field for field in shown.fields if field.name in currencies}
    # Piccolo has two names for a reference.
    columns = [field.column.as_alias(name) for name, field in needed.items()]
    query: Select[Any] = shown.table.select(*columns)
    return query if where is None else query.where(where)


def _beyond(fields: Sequence[Field], row: Mapping[str, Any], *, up: bool) -> Condition:
    """Return the condition that a row comes after this one, by the fields; NULL is the largest."""
    field, *rest = fields
    column, value = field.column, row[field.name]
    is_greater: Condition
    if value is None:
        is_greater = WhereRaw("false") if up else column.is_not_null()
        is_same: Condition = column.is_null()
    else:
        is_greater = Or(column > value, column.is_null()) if up else column < value
        is_same = column == value
    if not rest:
        return is_greater
    return Or(is_greater, And(is_same, _beyond(rest, row, up=up)))
