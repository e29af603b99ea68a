"""The ID of a tenant, parsed to a value whose text is safe to be sent as a part of a statement."""

import re
from typing import TypeAlias
from uuid import UUID

from asyncpg.pgproto import pgproto

from partman.errors import InvalidTenantIdError
from partman.isolation import Key

TenantId: TypeAlias = UUID | int | str

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_UUIDS = frozenset({UUID, pgproto.UUID})
"""The types of which an instance prints as a UUID does; the driver's is what a query returns."""
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_BITS = {Key.INTEGER: 32, Key.BIGINT: 64}

LONGEST_TEXT = 2_700
"""Bytes of UTF-8. A longer text is the key of no row: PostgreSQL could not put it into an index."""

_FORMS = {
    Key.UUID: "a uuid.UUID, or a string as in '123e4567-e89b-12d3-a456-426614174000'",
    Key.INTEGER: "an int of 32 bits, or a string of its decimal digits",
    Key.BIGINT: "an int of 64 bits, or a string of its decimal digits",
    Key.TEXT: f"a string of 1 to {LONGEST_TEXT} bytes, with no NUL and no half character in it",
}


def parse_tenant_id(value: object, key: Key) -> TenantId:
    """Return an ID of the key's type. Raises InvalidTenantIdError.

    The result is of exactly that type, or a UUID of the driver's: an instance of another subclass
    may print as it likes.
    """
    parsed: TenantId | None
    match key:
        case Key.UUID:
            parsed = _uuid(value)
        case Key.INTEGER | Key.BIGINT:
            parsed = _integer(value, _BITS[key])
        case Key.TEXT:
            parsed = _text(value)
    if parsed is None:
        raise InvalidTenantIdError(
            f"{_shown(value)} is not a valid tenant ID. Nothing was run. A tenant ID is "
            f"{_FORMS[key]}."
        )
    return parsed


def _uuid(value: object) -> UUID | None:
    if isinstance(value, UUID):
        return value if type(value) in _UUIDS else UUID(int=value.int)
    if isinstance(value, str) and _CANONICAL_UUID.fullmatch(value):
        return UUID(str.__str__(value))
    return None


def _integer(value: object, bits: int) -> int | None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(str.__str__(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        number = int.__index__(value)
    else:
        return None
    limit = 1 << (bits - 1)
    return number if -limit <= number < limit else None


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = str.__str__(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return None
    return text if 0 < size <= LONGEST_TEXT and "\0" not in text else None


def shown(tenant_id: TenantId) -> str:
    """Return an ID as a message has it."""
    return _shown(tenant_id) if isinstance(tenant_id, str) else str(tenant_id)


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return "An int of so many digits"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
