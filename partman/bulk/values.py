"""Values of Piccolo's columns, as the driver sends them."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Any

from piccolo.columns import Column
from piccolo.table import Table
from piccolo.utils.encoding import dump_json
from piccolo.utils.sql_values import convert_to_sql_value

from partman.bulk.target import TargetColumn


def converted(values: list[Any], column: Column, target: TargetColumn) -> list[Any]:
    """Return the values as Piccolo would send them, or as texts if the driver cannot."""
    if target.is_json:
        return [_json(value) for value in values]
    kinds = set(map(type, values))
    if any(issubclass(kind, Enum | Table) for kind in kinds):
        values = [convert_to_sql_value(value, column) for value in values]
    if target.known:
        return values
    return [None if value is None else text(value) for value in values]


def _json(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dump_json(value)


def text(value: Any) -> str:
    """Return a value in a form that PostgreSQL reads as any type that can have it."""
    match value:
        case Enum():
            return text(value.value)
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes() | bytearray() | memoryview():
            return f"\\x{value.hex()}"
        case timedelta():
            return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
        case list() | tuple():
            return _array(value)
        case dict():
            return dump_json(value)
    return str(value)


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _array(value)
    escaped = text(value).replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
