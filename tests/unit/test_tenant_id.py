"""IDs of tenants: of the key's type exactly, and what could be something else is refused."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asyncpg.pgproto import pgproto
from hypothesis import given
from hypothesis import strategies as st

from partman.errors import InvalidTenantIdError
from partman.isolation import Key
from partman.tenant.tenant_id import LONGEST_TEXT, parse_tenant_id

AN_ID = UUID("123e4567-e89b-12d3-a456-426614174000")


class _Uuid(UUID):
    __slots__ = ()

    def __str__(self) -> str:
        return "'; RESET ROLE; --"


class _Number(int):
    def __str__(self) -> str:
        return "1; RESET ROLE"

    __repr__ = __index__ = __int__ = __str__  # type: ignore[assignment]


class _Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "'; RESET ROLE; --"

    def encode(self, *_: Any) -> bytes:
        return b"x"


@pytest.mark.parametrize(
    ("key", "value", "parsed"),
    [
        (Key.UUID, AN_ID, AN_ID),
        (Key.UUID, _Uuid(str(AN_ID)), AN_ID),
        (Key.UUID, pgproto.UUID(str(AN_ID)), AN_ID),
        (Key.UUID, str(AN_ID).upper(), AN_ID),
        (Key.INTEGER, 0, 0),
        (Key.INTEGER, "0", 0),
        (Key.INTEGER, "-7", -7),
        (Key.INTEGER, 2**31 - 1, 2**31 - 1),
        (Key.INTEGER, -(2**31), -(2**31)),
        (Key.BIGINT, 2**31, 2**31),
        (Key.BIGINT, str(2**63 - 1), 2**63 - 1),
        (Key.BIGINT, -(2**63), -(2**63)),
        (Key.INTEGER, _Number(5), 5),
        (Key.TEXT, "acme", "acme"),
        (Key.TEXT, " '\\\n; RESET ROLE; --", " '\\\n; RESET ROLE; --"),
        (Key.TEXT, _Text("acme"), "acme"),
        (Key.TEXT, "é" * (LONGEST_TEXT // 2), "é" * (LONGEST_TEXT // 2)),
    ],
)
def test_an_id_is_of_the_keys_type(key: Key, value: object, parsed: object) -> None:
    found = parse_tenant_id(value, key)
    assert found == parsed
    assert str(found) == str(parsed)
    assert type(found) in {UUID, pgproto.UUID, int, str}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((Key.UUID, value) for value in (5, "acme", f"{{{AN_ID}}}", f"{AN_ID}\n", b"x" * 16)),
        *(
            (key, value)
            for key in (Key.INTEGER, Key.BIGINT)
            for value in (
                True, False, 1.0, Decimal(1), "", "1.0", "01", "-0", "+1", " 1", "1\n", "0x1",
                "1_0", "\u0661", "1; RESET ROLE", b"1", AN_ID, None, 2**63, -(2**63) - 1,
                str(2**63), 10**5000, "9" * 5000,
            )
        ),
        (Key.INTEGER, 2**31),
        (Key.INTEGER, -(2**31) - 1),
        (Key.INTEGER, str(2**31)),
        *(
            (Key.TEXT, value)
            for value in (
                "", "\0", "a\0b", "\ud800", 5, True, None, b"acme", AN_ID, "a" * (LONGEST_TEXT + 1),
                "é" * (LONGEST_TEXT // 2 + 1),
            )
        ),
    ],
    ids=lambda value: ascii(value)[:30] if not isinstance(value, int) else hex(value)[:30],
)  # fmt: skip
def test_another_value_is_refused_in_a_short_message(key: Key, value: object) -> None:
    with pytest.raises(
        InvalidTenantIdError, match=r"not a valid tenant ID\. Nothing was"
    ) as output:
        parse_tenant_id(value, key)
    assert len(str(output.value)) < 250
    assert str(output.value).isprintable()


@given(st.integers(-(2**70), 2**70))
def test_a_number_and_its_digits_are_the_same_id(number: int) -> None:
    for key, bits in ((Key.INTEGER, 31), (Key.BIGINT, 63)):
        for value in (number, str(number)):
            if -(2**bits) <= number < 2**bits:
                assert parse_tenant_id(value, key) == number
            else:
                with pytest.raises(InvalidTenantIdError):
                    parse_tenant_id(value, key)
