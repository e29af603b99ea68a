"""The values of columns: as the text of a form field, from that text, and as people read them."""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from typing import Any

from piccolo.columns import (
    JSON,
    UUID,
    Array,
    BigInt,
    BigSerial,
    Boolean,
    Column,
    Date,
    Integer,
    Interval,
    Numeric,
    Real,
    Serial,
    SmallInt,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Varchar,
)

from partman.serve.console import json_text
from partman.serve.people.account_base import is_storable


class Kind(StrEnum):
    """What a form field is for."""

    TEXT = "text"
    LONG = "long"
    """Text of several lines."""
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"
    """A time with a time zone, shown in UTC."""
    LOCAL = "local"
    """A time without a time zone."""
    DURATION = "duration"
    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    UUID = "uuid"
    JSON = "json"
    LIST = "list"
    """An array, a line for each element."""
    OTHER = "other"
    """Shown only."""


TEXTS = frozenset({Kind.TEXT, Kind.LONG})
NUMBERS = frozenset({Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT})

_KINDS: tuple[tuple[type[Column], Kind], ...] = (
    (JSON, Kind.JSON),
    (Array, Kind.LIST),
    (Boolean, Kind.BOOLEAN),
    (Date, Kind.DATE),
    (Time, Kind.TIME),
    (Timestamptz, Kind.MOMENT),
    (Timestamp, Kind.LOCAL),
    (Interval, Kind.DURATION),
    (Integer, Kind.INTEGER),
    (Serial, Kind.INTEGER),
    (Numeric, Kind.NUMERIC),
    (Real, Kind.FLOAT),
    (UUID, Kind.UUID),
    (Varchar, Kind.TEXT),
    (Text, Kind.LONG),
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)?")
_DURATION = re.compile(
    r"(?:(-?[0-9]{1,9}) days?)?[ ,]*(?:([0-9]{1,9}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,6})?))?"
)
_LONGEST_NUMBER = 1000
"""Characters; PostgreSQL's own limit is far higher."""


class UnfitError(Exception):
    """A text is no value of the column; the message says why, to the person who typed it."""


def kind_of(column: Column) -> Kind:
    """Return what a field for the column's own values is for."""
    kind = next((kind for type_, kind in _KINDS if isinstance(column, type_)), Kind.OTHER)
    if isinstance(column, Array) and kind_of(column.base_column) in {Kind.LIST, Kind.OTHER}:
        return Kind.OTHER
    return kind


def to_text(kind: Kind, value: Any) -> str:
    """Return a value as the text of its field; what is not stored is empty."""
    if value is None:
        return ""
    return _WRITERS.get(kind, lambda each: unbroken(str(each)))(value)


def unbroken(text: str) -> str:
    """Return a text with the line breaks that a browser shows: it sends others than it was told."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def from_text(column: Column, kind: Kind, text: str) -> Any:
    """Return the value that a text means, which is not empty. Raises UnfitError."""
    if not is_storable(text):
        raise UnfitError("It has a character that cannot be stored.")
    return _PARSERS[kind](column, text)


def in_words(kind: Kind, value: Any) -> str:
    """Return a value as people write it; what is not stored is empty."""
    if value is None:
        return ""
    if kind is Kind.BOOLEAN:
        return "Yes" if value else "No"
    if kind is Kind.DATE:
        return f"{value.day} {value:%b} {value.year}"
    if kind in {Kind.MOMENT, Kind.LOCAL}:
        moment = value.astimezone(UTC) if kind is Kind.MOMENT else value
        zone = " UTC" if kind is Kind.MOMENT else ""
        return f"{moment.day} {moment:%b} {moment.year}, {moment:%H:%M}{zone}"
    if kind is Kind.NUMERIC:
        return f"{value:,f}"
    if kind is Kind.LIST:
        return ", ".join(in_words(_kind_of_value(each), each) for each in value)
    return str(value)


def _seconds(moment: datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat()


_WRITERS: dict[Kind, Callable[[Any], str]] = {
    Kind.BOOLEAN: lambda value: "true" if value else "false",
    Kind.MOMENT: lambda value: _seconds(value.astimezone(UTC)),
    Kind.LOCAL: _seconds,
    Kind.TIME: lambda value: f"{value:%H:%M:%S}",
    Kind.NUMERIC: lambda value: f"{value:f}",
    Kind.JSON: lambda value: str(value),
    Kind.LIST: lambda value: "\n".join(to_text(_kind_of_value(each), each) for each in value),
}


def is_line_wise(value: Any) -> bool:
    """Whether each element of an array is one line of text, which is not empty."""
    return all(
        each is not None
        and (text := to_text(_kind_of_value(each), each)).strip() == text != ""
        and "\n" not in text
        for each in value or ()
    )


def _kind_of_value(value: Any) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, datetime):
        return Kind.MOMENT if value.tzinfo else Kind.LOCAL
    kinds = ((Decimal, Kind.NUMERIC), (date, Kind.DATE), (time, Kind.TIME))
    return next((kind for type_, kind in kinds if isinstance(value, type_)), Kind.TEXT)


def _text(column: Column, text: str) -> str:
    length = getattr(column, "length", None)
    if isinstance(column, Varchar) and length is not None and len(text) > length:
        raise UnfitError(f"At most {length:,} characters; these are {len(text):,}.")
    return text


def _boolean(_: Column, text: str) -> bool:
    if text not in {"true", "false"}:
        raise UnfitError("Choose Yes or No.")
    return text == "true"


def _integer(column: Column, text: str) -> int:
    plain = text.strip()
    if _INTEGER.fullmatch(plain) is None:
        raise UnfitError("Enter a whole number, such as 12.")
    bits = 16 if isinstance(column, SmallInt) else 32
    bits = 64 if isinstance(column, BigInt | BigSerial) else bits
    largest = 2 ** (bits - 1) - 1
    if not -largest - 1 <= int(plain) <= largest:
        raise UnfitError(f"At most {largest:,}, and at least {-largest - 1:,}.")
    return int(plain)


def _numeric(column: Column, text: str) -> Decimal:
    plain = text.strip()
    if len(plain) > _LONGEST_NUMBER or _DECIMAL.fullmatch(plain) is None:
        raise UnfitError("Enter a number, such as 1234.50.")
    whole, _, fraction = plain.replace(",", "").lstrip("+-").partition(".")
    digits: tuple[int, int] | None = getattr(column, "digits", None)
    if digits is not None:
        precision, scale = digits
        if len(fraction.rstrip("0")) > scale:
            raise UnfitError(f"At most {scale} digits after the point.")
        if len(whole.lstrip("0")) > precision - scale:
            raise UnfitError(f"At most {precision - scale} digits before the point.")
    return Decimal(plain.replace(",", ""))


def _float(_: Column, text: str) -> float:
    try:
        number = float(text.replace("_", "x"))
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise UnfitError("Enter a number, such as 12.5.")
    return number


def _date(_: Column, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnfitError("Enter a day as year-month-day, such as 2026-12-31.") from None


def _time(_: Column, text: str) -> time:
    try:
        return time.fromisoformat(text.strip()).replace(tzinfo=None)
    except ValueError:
        raise UnfitError("Enter a time, such as 14:30.") from None


def _moment(_: Column, text: str) -> datetime:
    moment = _datetime(text)
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise UnfitError("The year is too far away.") from None


def _local(_: Column, text: str) -> datetime:
    return _datetime(text).replace(tzinfo=None)


def _datetime(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise UnfitError("Enter a day and a time, such as 2026-12-31T14:30.") from None


def _duration(_: Column, text: str) -> timedelta:
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise UnfitError("Enter days and hours, such as 3 days 12:00:00.")
    days, hours, minutes, seconds = (float(each or 0) for each in found.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise UnfitError("It is too long.") from None


def _uuid(_: Column, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        raise UnfitError("Enter an ID of the form 123e4567-e89b-12d3-a456-426614174000.") from None


def _json(_: Column, text: str) -> str:
    try:
        value = json_text.read(text)
    except RecursionError:
        raise UnfitError("It is nested too deeply.") from None
    except ValueError as error:
        raise UnfitError(f"This is not valid JSON: {error}.") from None
    if not is_storable(json_text.write(value)):
        raise UnfitError("It has a character that cannot be stored.")
    return text


def _list(column: Column, text: str) -> list[Any]:
    assert isinstance(column, Array)
    base = column.base_column
    lines = (line.strip() for line in text.split("\n"))
    return [from_text(base, kind_of(base), line) for line in lines if line]


def _other(_: Column, __: str) -> None:
    raise UnfitError("This cannot be changed here.")


_PARSERS: dict[Kind, Callable[[Column, str], Any]] = {
    Kind.TEXT: _text,
    Kind.LONG: _text,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.MOMENT: _moment,
    Kind.LOCAL: _local,
    Kind.DURATION: _duration,
    Kind.INTEGER: _integer,
    Kind.NUMERIC: _numeric,
    Kind.FLOAT: _float,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.LIST: _list,
    Kind.OTHER: _other,
}
