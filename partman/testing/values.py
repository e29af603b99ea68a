"""Find values for a column that its type and its checks accept, by asking the server."""

import itertools
import string
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from partman.grammar.names import literal, quoted
from partman.grammar.tokens import scan

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_FIRST_UUID = 0xA << 124
"""The UUIDs of generated rows are far from those of migrations and seeds."""

_TEXTS = frozenset({"text", "character varying", "character", "citext"})
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_CONSTANTS = {
    "boolean": ("true", "false"),
    "bytea": (r"'\x00'",),
    "date": ("'2026-01-01'", "'2026-04-01'", "'2026-07-01'"),
    "inet": ("'192.0.2.1'",),
    "interval": ("'1 day'", "'2 days'"),
    "json": ("'{}'", "'[]'"),
    "jsonb": ("'{}'", "'[]'"),
    "time without time zone": ("'12:00'", "'13:00'", "'14:00'"),
    "time with time zone": ("'12:00Z'", "'13:00Z'", "'14:00Z'"),
    "timestamp with time zone": tuple(f"'2026-0{month}-01 12:00Z'" for month in (1, 4, 7)),
    "timestamp without time zone": tuple(f"'2026-0{month}-01 12:00'" for month in (1, 4, 7)),
}
"""Several, because a check may want one column to be after another."""
KINDS = frozenset((*_TEXTS, *_NUMBERS, *_CONSTANTS, "uuid"))
"""The types, without length and precision, of which values are known, besides arrays and enums."""


@dataclass(frozen=True)
class Found:
    """A value that a column accepts."""

    sql: str
    value: Any
    """As the driver returns it."""


@dataclass(frozen=True)
class Shape:
    """What a column accepts. ``type`` and ``base`` are SQL, ``name`` is not quoted."""

    name: str
    type: str
    base: str
    """The type without length and precision; that below a domain."""
    is_enum: bool
    conditions: tuple[str, ...]
    """The CHECK constraints on this column alone, and those of its domain, as SQL."""


def candidates(shape: Shape, number: int) -> Iterator[str]:
    """Yield SQL expressions that may be a value of the column, the likely ones first.

    Different numbers give different values where the type has enough of them.
    """
    kind = shape.base
    if kind in _TEXTS:
        yield from map(literal, _texts(shape.name, number))
        yield from (each for each in _constants_of(shape.conditions) if each.startswith("'"))
    elif kind in _NUMBERS:
        yield from _numbers(shape, number)
    elif kind == "uuid":
        yield literal(str(UUID(int=_FIRST_UUID + number)))
    elif kind.endswith("[]"):
        yield "'{}'"
    elif shape.is_enum:
        yield f"(enum_range(NULL::{shape.type}))[1]"
    elif kind in _CONSTANTS:
        yield from _CONSTANTS[kind]


async def find_values(
    connection: "Connection[Record]", shape: Shape, number: int
) -> AsyncGenerator[Found]:
    """Yield the candidates that the column accepts."""
    for candidate in candidates(shape, number):
        conditions = [f"({each}) IS NOT FALSE" for each in shape.conditions]
        if shape.base in _TEXTS:
            # A cast to varchar(3) cuts the text off.
            conditions.append(f"rtrim({quoted(shape.name)}::text) = {candidate}")
        value = f"CAST({candidate} AS {shape.type})"
        sql = (
            f"SELECT {quoted(shape.name)} AS value, {' AND '.join(conditions) or 'true'} AS fits "
            f"FROM (SELECT {value} AS {quoted(shape.name)}) AS made"
        )
        try:
            row = await connection.fetchrow(sql)
        except asyncpg.PostgresError:  # too long, out of range, rejected by a domain
            continue
        if row is not None and row["fits"]:
            yield Found(value, row["value"])


def _numbers(shape: Shape, number: int) -> Iterator[str]:
    yield str(number)
    if shape.base == "numeric":
        yield f"{number} / 1000.0"
    for each in _constants_of(shape.conditions):
        if not each.startswith("'"):
            yield from (f"{each} + {number}", each, f"{each} - {number}", f"{each} - 1")
    yield from (f"{number} + 1", f"{number} + 2", f"-{number}")


def _texts(name: str, number: int) -> Iterator[str]:
    stem = name.replace("_", "-")
    yield f"{stem}-{number}"
    # Without the column's name: a check may want two columns to be equal.
    yield from (f"row-{number}@example.com", f"{number}x", str(number))
    yield _letters(number)
    yield _letters(number).lower()


def _letters(number: int) -> str:
    """Return three upper-case letters, as a code of a currency or a country."""
    letters = string.ascii_uppercase
    return "".join(letters[number // 26**place % 26] for place in (2, 1, 0))


def _constants_of(conditions: Sequence[str]) -> Iterator[str]:
    tokens = itertools.chain.from_iterable(scan(each) or () for each in conditions)
    return iter(dict.fromkeys(each.text for each in tokens if each.is_string or each.is_number))
