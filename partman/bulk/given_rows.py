"""Turn rows, as the application has them, into one list of values for each column."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

from piccolo.columns import Column
from piccolo.columns.defaults.base import Default
from piccolo.querystring import QueryString
from piccolo.table import Table

from partman.bulk.target import Target, TargetColumn
from partman.bulk.values import converted
from partman.errors import RowRefusedError

_MISSING: Any = object()

FIRST_PORTION, LARGEST_PORTION = 1_000, 16_000
"""Rows of a statement. They grow, because a million rows in portions of a thousand would need more
savepoints than PostgreSQL keeps in its fast cache (64)."""


@dataclass(frozen=True)
class Portion:
    """Some consecutive rows, column by column."""

    first: int
    """The index of the first row."""
    columns: Sequence[TargetColumn]
    values: Sequence[list[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values[0])

    def part(self, begin: int, end: int) -> "Portion":
        """Return the rows from ``begin`` to before ``end``, counted in this portion."""
        return Portion(
            self.first + begin, self.columns, [values[begin:end] for values in self.values]
        )


class GivenRows:
    """Reads rows for one table: names, defaults and values as Piccolo has them."""

    def __init__(self, table: type[Table], fixed: Mapping[str, Any], target: Target) -> None:
        """Take the table, and the values of columns that rows may leave out, by column name."""
        self._table = table
        self._target = target
        self._columns = [
            _GivenColumn(column, fixed.get(column._meta.db_column_name, _MISSING))
            for column in table._meta.columns
        ]
        self._names = {name for column in self._columns for name in column.names}

    def portions(self, rows: Iterable[Mapping[str, Any] | Table]) -> Iterator[Portion]:
        """Yield the rows in portions. Raises RowRefusedError for what cannot be a row."""
        remaining, first, size = iter(rows), 0, FIRST_PORTION
        while portion := list(islice(remaining, size)):
            yield self._portion(first, [self._values(first + n, r) for n, r in enumerate(portion)])
            first += len(portion)
            size = min(2 * size, LARGEST_PORTION)

    def _values(self, index: int, row: Any) -> Mapping[str, Any]:
        if isinstance(row, Mapping):
            return row
        if not isinstance(row, self._table):
            _refuse(index, f"is a {type(row).__name__}, no mapping and no {self._table.__name__}")
        values = {column.attribute: row[column.attribute] for column in self._columns}
        # A QueryString is what the database is to fill in.
        return {name: v for name, v in values.items() if not isinstance(v, QueryString)}

    def _portion(self, first: int, rows: Sequence[Mapping[str, Any]]) -> Portion:
        given: set[Any] = set().union(*rows)
        if not given <= self._names:
            self._refuse_unknown(first, rows)
        columns, values = [], []
        for column in self._columns:
            found = column.values_of(rows, given, first)
            if found is None:
                continue
            target = self._target.columns.get(column.name)
            if target is None:
                _refuse(first, f"has a value for {column.name}, which the database has not")
            columns.append(target)
            values.append(converted(found, column.column, target))
        return Portion(first, columns, values)

    def _refuse_unknown(self, first: int, rows: Sequence[Mapping[str, Any]]) -> NoReturn:
        for index, row in enumerate(rows, first):
            if unknown := [name for name in row if name not in self._names]:
                _refuse(
                    index,
                    f"has a value for {unknown[0]!r}, which is no column of "
                    f"{self._table.__name__}. Its columns are "
                    f"{', '.join(column.attribute for column in self._columns)}",
                )
        raise AssertionError


class _GivenColumn:
    """A column of the table class, and what a row has that leaves it out."""

    def __init__(self, column: Column, fixed: Any) -> None:
        self.column = column
        self.attribute = column._meta.name
        self.name: str = column._meta.db_column_name
        self.names = {self.attribute, self.name}
        self._default = _default_of(column) if fixed is _MISSING else lambda: fixed

    def values_of(
        self, rows: Sequence[Mapping[str, Any]], given: set[Any], first: int
    ) -> list[Any] | None:
        """Return the value of each row; None if the database is to fill in all of them."""
        names = [name for name in (self.attribute, self.name) if name in given]
        values = [_MISSING] * len(rows)
        for name in dict.fromkeys(names):
            values = [row.get(name, value) for row, value in zip(rows, values, strict=True)]
        if len(set(names)) == 2:
            self._refuse_both(rows, first)
        if not names or any(value is _MISSING for value in values):
            return self._filled(values, first)
        return values

    def _filled(self, values: list[Any], first: int) -> list[Any] | None:
        if self._default is None:
            missing = [value is _MISSING for value in values]
            if all(missing):
                return None
            index = first + missing.index(True)
            _refuse(
                index,
                f"leaves {self.attribute} to the database, and other rows do not. Give it in all "
                "rows or in none",
            )
        default = self._default
        filled = [default() if value is _MISSING else value for value in values]
        if not self.column._meta.null and None in filled:
            for index, (value, had) in enumerate(zip(filled, values, strict=True), first):
                if value is None and had is _MISSING:
                    _refuse(index, f"has no value for {self.attribute}, which has no default")
        return filled

    def _refuse_both(self, rows: Sequence[Mapping[str, Any]], first: int) -> None:
        for index, row in enumerate(rows, first):
            if self.attribute in row and self.name in row:
                _refuse(index, f"has both {self.attribute} and {self.name}, which are one column")


def _default_of(column: Column) -> Callable[[], Any] | None:
    """Return what makes the value of a row that has none, as Piccolo does; None: the database."""
    value = column.get_default_value()
    if isinstance(value, QueryString):
        return None
    if isinstance(value, Default):
        return value.python
    if callable(getattr(column, "default", None)):
        return column.get_default_value
    return lambda: value


def _refuse(index: int, problem: str) -> NoReturn:
    raise RowRefusedError(
        f"rows[{index}] {problem}. None of the rows were inserted. Correct it, and insert all of "
        "them again.",
        index,
        {},
    )
