"""JSON whose numbers stay as they were written."""

import json
from typing import Any


class Number(str):
    """A number as it was written: 1.0 is not 1, and 0.1 may have more digits than a float."""

    __slots__ = ()


def read(text: str) -> Any:
    """Return the value. Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_number)


def write(value: Any, indent: int | None = None) -> str:
    """Return a value as text; ``indent`` as in ``json.dumps``."""
    return "".join(_pieces(value, indent, 0))


def canonical(text: str) -> str:
    """Return the same text for two texts that differ in spaces and in the order of keys."""
    return write(_sorted(read(text)))


def _pieces(value: Any, indent: int | None, depth: int) -> list[str]:
    if isinstance(value, Number):
        return [str(value)]
    if not isinstance(value, dict | list) or not value:
        return [json.dumps(value, ensure_ascii=False)]
    inner, outer = (
        ("\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth)
        if indent is not None
        else ("", "")
    )
    pieces = []
    if isinstance(value, dict):
        for key, each in value.items():
            name = json.dumps(key, ensure_ascii=False)
            pieces += [",", inner, name, ": ", *_pieces(each, indent, depth + 1)]
        return ["{", *pieces[1:], outer, "}"]
    for each in value:
        pieces += [",", inner, *_pieces(each, indent, depth + 1)]
    return ["[", *pieces[1:], outer, "]"]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number")
