"""Options that are written so plainly that Typer need not be imported to read them."""

from collections.abc import Mapping, Sequence

_LONGEST = 9
"""Digits of a number that is read without Typer."""

_OPTIONS: Mapping[str, Mapping[str, type[float]]] = {
    "status": {"--json": bool},
    "history": {"--json": bool, "--limit": int},
    "migrate": {"--timeout": float, "--retries": int},
}
"""The options of each command that can be read without Typer, with the types of their values."""


def plain_options(arguments: Sequence[str]) -> dict[str, float] | None:
    """Return the options of the command with their values, 1 for those that take none.

    None where Typer has to parse: another command or option, one that is given twice, a value that
    is not plain digits.
    """
    known = _OPTIONS.get(arguments[0]) if arguments else None
    if known is None:
        return None
    found: dict[str, float] = {}
    words = iter(arguments[1:])
    for word in words:
        name, separator, value = word.partition("=")
        kind = known.get(name)
        if kind is None or name in found:
            return None
        if kind is bool:
            if separator:
                return None
            found[name] = True
            continue
        value = value if separator else next(words, "")
        if not _is_plain(value, kind):
            return None
        found[name] = kind(value)
    return found


def _is_plain(value: str, kind: type[float]) -> bool:
    digits = value.replace(".", "", 1) if kind is float else value
    return digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST
