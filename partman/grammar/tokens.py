"""The words of a string of SQL, as PostgreSQL's own scanner divides it.

The scanner of libpg_query answers in protobuf; of that only what a list of tokens takes is read:
https://protobuf.dev/programming-guides/encoding/.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from partman.grammar.libpg_query import scan_result

# Numbers of fields in ScanResult and ScanToken, and of kinds of tokens, in pg_query.proto.
_TOKENS, _START, _END, _KIND = 2, 1, 2, 4
_IDENTIFIER, _FLOAT, _STRING, _UNICODE_STRING, _INTEGER = 258, 260, 261, 262, 266


@dataclass(frozen=True)
class Token:
    """A word, a literal or a sign."""

    text: str
    before: str
    """What is between it and the token before: spaces and comments."""
    kind: int = 0

    @property
    def is_string(self) -> bool:
        """Whether it is a string, in whichever quotes."""
        return self.kind in (_STRING, _UNICODE_STRING)

    @property
    def is_number(self) -> bool:
        """Whether it is a number, without a sign."""
        return self.kind in (_INTEGER, _FLOAT)

    @property
    def is_word(self) -> bool:
        """Whether it is a name or a keyword."""
        return self.kind == _IDENTIFIER or self.text[:1].isalpha() or self.text[:1] == "_"


# A catalog has the same expressions again and again.
@functools.lru_cache(maxsize=4096)
def scan(sql: str) -> tuple[Token, ...] | None:
    """Return the tokens of a string, without comments; None if the scanner rejects it."""
    encoded = sql.encode(errors="surrogatepass")
    answer = None if b"\0" in encoded else scan_result(encoded)
    if answer is None:
        return None
    tokens, end = [], 0
    for field, value in _fields(answer):
        if field != _TOKENS or not isinstance(value, bytes):
            continue
        part = {number: each for number, each in _fields(value) if isinstance(each, int)}
        start, stop = part.get(_START, 0), part.get(_END, 0)
        text = encoded[start:stop].decode(errors="surrogatepass")
        if text.startswith(("--", "/*")):
            continue
        before = encoded[end:start].decode(errors="surrogatepass")
        tokens.append(Token(text, before, part.get(_KIND, 0)))
        end = stop
    return tuple(tokens)


def joined(tokens: Iterable[Token]) -> str:
    """Return the string of these tokens, with what is before each."""
    return "".join(token.before + token.text for token in tokens)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field: a number, or the bytes of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value, position = _varint(message, position)
        if tag & 7 == 0:
            yield tag >> 3, value
        else:
            yield tag >> 3, message[position : position + value]
            position += value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
