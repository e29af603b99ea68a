"""The list of a table's rows: searched, filtered, sorted, a page at a time, and as CSV."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from piccolo.columns.combination import WhereRaw
from starlette.responses import Response

from partman.serve.console.rows import (
    MOST_COUNTED,
    Condition,
    Count,
    Order,
    Page,
    both,
    count,
    names,
    option,
    options,
    page,
    searched,
)
from partman.serve.console.scope import RefusedError, Visit
from partman.serve.console.tables import Field, ShownTable
from partman.serve.console.values import Kind, UnfitError, from_text
from partman.serve.people.account_base import is_storable

LONGEST_EXPORT = 100_000
"""Rows of an export."""
_NOT_IN_A_LIST = {Kind.JSON, Kind.LONG, Kind.MOMENT, Kind.LOCAL, Kind.OTHER, Kind.LIST}
"""What is too long or of little interest in a list."""
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""With which a cell begins that a spreadsheet may run as a formula; OWASP's list."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_OWN = frozenset({"q", "sort", "after", "before", "done"})


@dataclass(frozen=True)
class Filter:
    """A field by which a list can be filtered."""

    field: Field
    options: tuple[tuple[str, str], ...]
    """Values with their words."""
    chosen: str

    @property
    def chosen_label(self) -> str:
        """The word for the chosen value."""
        return dict(self.options).get(self.chosen, self.chosen)


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see of a table."""

    search: str
    sort: str
    """The name of a field, with a minus for the other direction; empty for the usual order."""
    chosen: Mapping[str, str]
    """The chosen value of filtered fields, by name."""
    after: str = ""
    before: str = ""

    def address(self, path: str, **other: str) -> str:
        """Return the address of this list with other parameters; an empty one is left out."""
        own = {"q": self.search, "sort": self.sort, **self.chosen} | other
        query = urlencode({name: value for name, value in own.items() if value})
        return f"{path}?{query}" if query else path


async def show_home(visit: Visit) -> Response:
    """Show the tables."""
    async with visit.block():
        counts = {shown.slug: await count(shown) for shown in visit.tables}
    return visit.page("console_home.html", counts=counts)


async def show_list(visit: Visit) -> Response:
    """Show a page of a list."""
    shown = visit.table
    assert shown is not None
    asked = _asked(visit, shown)
    where = _where(shown, asked)
    async with visit.block():
        rights = await may(shown)
        total = await count(shown, where)
        is_empty = not total.number and (where is None or not (await count(shown)).number)
        order = _order(shown, asked, total)
        found = Page((), before=False, after=False)
        if total.number:
            found = await page(shown, where, order, after=asked.after, before=asked.before)
        columns = _columns(shown)
        named = await _names(visit, columns, found)
        filters = await _filters(visit, shown, asked)
    return visit.page(
        "console_list.html",
        asked=asked,
        may=rights,
        total=total,
        most=MOST_COUNTED,
        is_empty=is_empty,
        page=found,
        columns=columns,
        named=named,
        filters=filters,
        sortable=[field for field in shown.fields if _is_sortable(field)],
        is_sorted=bool(order.fields),
        done=visit.request.query_params.get("done", ""),
    )


async def export(visit: Visit) -> Response:
    """Return the rows of a list as CSV, with all fields as the database has them.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    shown = visit.table
    assert shown is not None
    asked = _asked(visit, shown)
    output = io.StringIO()
    writer = csv.writer(output, quoting=csv.QUOTE_ALL)
    writer.writerow([field.name for field in shown.fields])
    async with visit.block():
        where = _where(shown, asked)
        order = _order(shown, asked, await count(shown, where))
        found = await page(shown, where, order, size=LONGEST_EXPORT)
    if found.after:
        raise RefusedError(
            f"There are more than {LONGEST_EXPORT:,} rows. Search or filter the list first."
        )
    for row in found.rows:
        writer.writerow([_exported(row[field.name]) for field in shown.fields])
    headers = {"Content-Disposition": f'attachment; filename="{shown.table._meta.tablename}.csv"'}
    return Response(output.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@dataclass(frozen=True)
class Rights:
    """What the database lets a tenant do with a table."""

    insert: bool
    delete: bool
    update: frozenset[str]
    """The names of the columns that may be changed."""


_RIGHTS = """
SELECT attname AS name, has_column_privilege(attrelid, attnum, 'UPDATE') AS update,
    has_column_privilege(attrelid, attnum, 'INSERT') AS insert,
    has_table_privilege(attrelid, 'DELETE') AS delete
FROM pg_attribute WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped
"""


async def may(shown: ShownTable) -> Rights:
    """Return what the tenant's role may do, as the database says."""
    rows = await shown.table.raw(_RIGHTS, shown.table._meta.get_formatted_tablename())
    return Rights(
        insert=any(row["insert"] for row in rows),
        delete=any(row["delete"] for row in rows),
        update=frozenset(row["name"] for row in rows if row["update"]),
    )


def _asked(visit: Visit, shown: ShownTable) -> Asked:
    """Return what the address asks for. Raises RefusedError if it makes no sense."""
    given = visit.request.query_params
    search, sort = given.get("q", ""), given.get("sort", "")
    unknown = set(given) - _OWN - {field.name for field in shown.fields}
    if unknown or not all(is_storable(value) for value in given.values()):
        raise RefusedError("The address of this list is not valid.", status_code=400)
    sorted_by = {field.name for field in shown.fields if _is_sortable(field)}
    if sort and sort.removeprefix("-") not in sorted_by:
        raise RefusedError("The list cannot be sorted by that.", status_code=400)
    return Asked(
        search=search,
        sort=sort,
        chosen={name: value for name, value in given.items() if name not in _OWN and value},
        after=given.get("after", ""),
        before=given.get("before", ""),
    )


def _where(shown: ShownTable, asked: Asked) -> Condition | None:
    conditions: list[Condition | None] = [searched(shown, asked.search)]
    for field in shown.fields:
        if (text := asked.chosen.get(field.name)) is None:
            continue
        if field.kind is Kind.JSON:
            raise RefusedError("The list cannot be filtered by that.", status_code=400)
        try:
            value = from_text(field.values_of, field.kind, text)
        except UnfitError:
            conditions.append(WhereRaw("false"))
        else:
            conditions.append(field.column == value)
    return both(conditions)


def _order(shown: ShownTable, asked: Asked, total: Count) -> Order:
    """Return the order of a list; many rows are in the order of their key, which needs no sort."""
    if asked.sort:
        name = asked.sort.removeprefix("-")
        field = next(field for field in shown.fields if field.name == name)
        return Order((field,), descending=asked.sort.startswith("-"))
    return Order(() if total.is_more else shown.names)


def _columns(shown: ShownTable) -> list[Field]:
    """Return the fields of a list, what names a row first."""
    currencies = {field.currency_of for field in shown.fields}
    return [
        field
        for field in shown.fields
        if field.kind not in _NOT_IN_A_LIST
        and field is not shown.key
        and not (field.kind is Kind.UUID and field.target is None)
        and field.name not in currencies
        and field not in shown.names
    ]


async def _names(visit: Visit, columns: list[Field], found: Page) -> dict[str, dict[Any, str]]:
    """Return the names of the rows to which the rows of a page refer, by field."""
    named = {}
    for field in columns:
        if target := visit.tables.target_of(field):
            values = (row[field.name] for row in found.rows)
            named[field.name] = await names(*target, values)
    return named


async def _filters(visit: Visit, shown: ShownTable, asked: Asked) -> list[Filter]:
    """Return the filters: by choice, yes or no, and by a reference to one of a few rows."""
    filters = []
    for field in shown.fields:
        chosen = asked.chosen.get(field.name, "")
        found = field.options
        if not found and (target := visit.tables.target_of(field)):
            found, more = await options(*target)
            if chosen and chosen not in dict(found):
                found = [*found, *await option(field, *target, chosen)]
            elif more and not chosen:
                found = []
        if found or chosen:
            filters.append(Filter(field, tuple(found), chosen))
    return filters


def _is_sortable(field: Field) -> bool:
    return field.kind not in {Kind.JSON, Kind.OTHER, Kind.LIST}


def _exported(value: Any) -> str:
    text = "" if value is None else str(value)
    is_formula = text.startswith(_FORMULA) and _NUMBER.fullmatch(text) is None
    return f"'{text}" if is_formula else text
