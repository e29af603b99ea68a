"""The rows of a plan as the text of COPY, in batches of bounded size."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID

from asyncpg.pgproto import pgproto

from seeds.generate import SeedPlan, portions
from seeds.rows import ROW_TYPES, Row

ROWS = 5_000
"""Rows after which a batch is sent; it may have as many more as one portion has."""

NULL = "\N{SUBSTITUTE}"
"""A row without a backslash needs no second look, and one of ASCII takes a byte for a character."""
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True)
class Batch:
    """Rows of some organizations. They refer to rows of this batch, or of an earlier one."""

    opportunities: int
    """How many there are among the rows."""
    texts: Mapping[str, bytes]
    """By table; one without rows is left out."""


def batches(plan: SeedPlan, numbers: Iterable[int]) -> Iterator[Batch]:
    """Yield the rows of the organizations with those numbers."""
    lines: dict[str, list[str]] = {table: [] for table in ROW_TYPES}
    for rows in portions(plan, numbers):
        for table, texts in lines.items():
            texts += map(line, rows.of(table))
        if sum(map(len, lines.values())) >= ROWS:
            yield _batch(lines)
    if any(lines.values()):
        yield _batch(lines)


def _batch(lines: Mapping[str, list[str]]) -> Batch:
    count = len(lines["opportunities"])
    texts = {table: "".join(texts).encode() for table, texts in lines.items() if texts}
    for written in lines.values():
        written.clear()
    return Batch(count, texts)


def line(row: Row) -> str:
    """Return a row as COPY reads it in its text format, with NULL for None."""
    values = [_WRITERS[type(value)](value) for value in row]
    text = "\t".join(values)
    if "\\" in text or "\n" in text or "\r" in text or text.count("\t") >= len(values):
        text = "\t".join([value.translate(_ESCAPES) for value in values])
    return text + "\n"


@cache
def _day(day: date) -> str:
    return day.isoformat()


@cache
def _time(time_in_utc: time) -> str:
    return f" {time_in_utc.isoformat()}+00"


def _timestamp(moment: datetime) -> str:
    """Put it together from a day and a time, of which there are few: isoformat() takes longer."""
    assert moment.tzinfo is UTC
    return _day(moment.date()) + _time(moment.time())


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    NoneType: lambda _: NULL,
    str: str,
    bool: str,
    int: str,
    Decimal: str,
    UUID: str,
    pgproto.UUID: str,
    date: _day,
    datetime: _timestamp,
}
