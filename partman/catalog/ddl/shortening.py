"""Leave out of an expression what PostgreSQL adds again when it parses it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from partman.grammar.tokens import Token

QUERIES = ("SELECT", "WITH", "VALUES")
"""The words that begin a query, which needs its parentheses."""

_VARCHAR = ("character", "varying")


def shortened(tokens: Sequence[Token], varchars: Collection[str]) -> list[Token]:
    """Return tokens without the schema public and without redundant casts.

    ``varchars``: the columns that are varchar in every table.
    """
    left = list(_without_public(tokens))
    left = list(_with_in(left))
    return list(_without_casts(left, varchars))


def closing(tokens: Sequence[Token], start: int) -> int | None:
    """Return the position of the parenthesis that closes the one at ``start``."""
    depth = 0
    for position in range(start, len(tokens)):
        depth += (tokens[position].text == "(") - (tokens[position].text == ")")
        if depth == 0:
            return position
    return None


def _texts(tokens: Sequence[Token], start: int, *texts: str) -> bool:
    """Whether the tokens from a position on are these."""
    return [each.text for each in tokens[start : start + len(texts)]] == list(texts)


def _without_public(tokens: Sequence[Token]) -> Iterator[Token]:
    position = 0
    while position < len(tokens):
        token = tokens[position]
        is_schema = position == 0 or tokens[position - 1].text != "."
        if is_schema and _texts(tokens, position, "public", ".") and tokens[position + 2 :]:
            yield replace(tokens[position + 2], before=token.before)
            position += 3
        else:
            yield token
            position += 1


def _with_in(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield tokens with ``column IN ('a', 'b')`` in place of ``= ANY`` of an array."""
    position = 0
    while position < len(tokens):
        if found := (_any_of_varchars(tokens, position) or _any_of_texts(tokens, position)):
            column, strings, position = found
            yield column
            yield Token("IN", " ")
            yield Token("(", " ")
            for number, string in enumerate(strings):
                if number:
                    yield Token(",", "")
                yield replace(string, before=" " if number else "")
            yield Token(")", "")
        else:
            yield tokens[position]
            position += 1


_Found = tuple[Token, list[Token], int]
"""A column, the strings that it is compared with, and the position after them."""


def _any_of_varchars(tokens: Sequence[Token], start: int) -> _Found | None:
    """Read ``(column)::text = ANY ((ARRAY['a'::character varying, 'b'…])::text[])``."""
    if not _texts(tokens, start, "(") or not tokens[start + 1 :][:1]:
        return None
    column = tokens[start + 1]
    middle = (")", "::", "text", "=", "ANY", "(", "(", "ARRAY", "[")
    if not column.is_word or not _texts(tokens, start + 2, *middle):
        return None
    strings, position = _strings(tokens, start + 2 + len(middle), _VARCHAR)
    end = ("]", ")", "::", "text", "[", "]", ")")
    if not strings or not _texts(tokens, position, *end):
        return None
    return replace(column, before=tokens[start].before), strings, position + len(end)


def _any_of_texts(tokens: Sequence[Token], start: int) -> _Found | None:
    """Read ``column = ANY (ARRAY['a'::text, 'b'::text])``."""
    middle = ("=", "ANY", "(", "ARRAY", "[")
    if not tokens[start].is_word or not _texts(tokens, start + 1, *middle):
        return None
    strings, position = _strings(tokens, start + 1 + len(middle), ("text",))
    if not strings or not _texts(tokens, position, "]", ")"):
        return None
    return tokens[start], strings, position + 2


def _strings(
    tokens: Sequence[Token], position: int, kind: tuple[str, ...]
) -> tuple[list[Token], int]:
    """Read a list of strings that are cast to a type; return them and the position after them."""
    found = []
    while tokens[position : position + 1] and _is_plain_string(tokens[position]):
        if not _texts(tokens, position + 1, "::", *kind):
            return [], position
        found.append(tokens[position])
        position += 2 + len(kind)
        if not _texts(tokens, position, ","):
            break
        position += 1
    return found, position


def _without_casts(tokens: Sequence[Token], varchars: Collection[str]) -> Iterator[Token]:
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if (
            _is_plain_string(token)
            and _is_cast_to_text(tokens, position + 1)
            and not _is_cast_again(tokens, position + 3)
        ):
            yield token
            position += 3
        elif token.text == "(" and (inner := _inner(tokens, position)):
            end = position + len(inner) + 2
            is_column = inner[0].text in varchars and len(inner) == 1
            is_text = is_column and _is_cast_to_text(tokens, end)
            if is_text or (_is_number(inner) and _texts(tokens, end, "::", "numeric")):
                end += 2
            elif not (_is_call(inner, tokens, position) and _texts(tokens, end, "::")):
                yield token
                position += 1
                continue
            yield from _without_casts(
                [replace(inner[0], before=token.before), *inner[1:]], varchars
            )
            position = end
        else:
            yield token
            position += 1


def _inner(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    """Return what is in parentheses that are not those of a call; nothing for others."""
    end = closing(tokens, start)
    return [] if end is None else tokens[start + 1 : end]


def _is_plain_string(token: Token) -> bool:
    return token.is_string and token.text.startswith("'")


def _is_cast_to_text(tokens: Sequence[Token], position: int) -> bool:
    return _texts(tokens, position, "::", "text") and not _texts(tokens, position + 2, "[")


def _is_cast_again(tokens: Sequence[Token], position: int) -> bool:
    """Whether another cast follows: nextval(('s'::text)::regclass) looks for s at each call."""
    return _texts(tokens, position, ")", "::")


def _is_number(tokens: Sequence[Token]) -> bool:
    signed = tokens[1:] if tokens[0].text == "-" else tokens
    return len(signed) == 1 and signed[0].is_number


def _is_call(inner: Sequence[Token], tokens: Sequence[Token], start: int) -> bool:
    """Whether it is ``(name(…))`` without other parentheses, and not the arguments of a call."""
    is_argument = start > 0 and tokens[start - 1].is_word and not tokens[start].before
    return (
        not is_argument
        and len(inner) > 2
        and inner[0].is_word
        and [each.text for each in inner].count("(") == 1
        and inner[1].text == "("
        and inner[-1].text == ")"
    )
