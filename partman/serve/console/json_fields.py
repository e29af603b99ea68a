"""A JSON value as fields of a form, and back.

The name of a field is the way to its value, and how the value is written: ``contact/.name:s`` is
the string at the key ``name``, ``tiers/#0/.rate:n`` a number in the first object of a list. So the
value is made of the fields alone. What is emptied is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from partman.serve.console import json_text
from partman.serve.console.json_text import Number
from partman.serve.console.values import UnfitError, unbroken
from partman.wording import in_words as words

_DEEPEST = 4
"""Levels of objects; what is deeper is one field with JSON."""

STRING, EMPTY, NEW, NUMBER, BOOLEAN, NOTHING, TEXT = "s", "e", "d", "n", "b", "z", "j"
"""How a value is written: as a string; a string that was empty, a key that was not there, a number,
a boolean, a null, and as JSON.
"""
_STRINGS = frozenset({STRING, EMPTY, NEW, NOTHING})
_ROOTS = {"object": "{}", "list": "[]", "null": ""}
_GONE = object()


@dataclass(frozen=True)
class Part:
    """A value with a field of its own."""

    name: str
    label: str
    text: str
    kind: str

    @property
    def is_long(self) -> bool:
        """Whether it needs several lines."""
        return self.kind == TEXT or "\n" in self.text or len(self.text) > 80


@dataclass(frozen=True)
class Group:
    """The values of an object, or one of a list's objects."""

    label: str
    parts: "tuple[Part | Group, ...]"


@dataclass(frozen=True)
class JsonFields:
    """The fields of a JSON value."""

    root: str
    """The name of the field that says what the value itself is."""
    is_a: str
    parts: tuple[Part | Group, ...]
    other: str
    """The beginning of the names of two fields for a key that is not there yet; empty for lists."""
    other_key: str = ""
    other_value: str = ""


def json_fields(name: str, text: str, details: Sequence[str]) -> JsonFields | None:
    """Return the fields of a value; None if it is better written as JSON.

    ``text`` is the JSON, empty for no value. ``details`` are keys that are always offered.
    """
    value = json_text.read(text) if text else None
    if isinstance(value, dict) or value is None:
        is_a = "null" if value is None else "object"
        parts = _of_object(f"{name}/", value or {}, details, 1)
        return JsonFields(f"{name}/:root", is_a, parts, f"{name}/+")
    if isinstance(value, list) and value and all(_is_flat(each) for each in value):
        return JsonFields(f"{name}/:root", "list", tuple(_of_list(f"{name}/", value, details)), "")
    return None


def retyped(fields: JsonFields, sent: Mapping[str, str]) -> JsonFields:
    """Return the fields with what was typed into them, which may mean no JSON."""
    return replace(
        fields,
        parts=_retyped(fields.parts, sent),
        other_key=sent.get(f"{fields.other}key", ""),
        other_value=sent.get(f"{fields.other}value", ""),
    )


def as_sent(fields: JsonFields) -> list[tuple[str, str]]:
    """Return what a browser sends of the fields when nobody has changed them."""
    return [(fields.root, fields.is_a), *_sent(fields.parts)]


def json_of_fields(name: str, sent: Iterable[tuple[str, str]]) -> str | None:
    """Return the JSON that the fields mean; None if there are none. Raises UnfitError."""
    own = {key[len(name) + 1 :]: text for key, text in sent if key.startswith(f"{name}/")}
    is_a = own.pop(":root", None)
    if is_a is None:
        return None
    if is_a not in _ROOTS:
        raise UnfitError("This form is not complete. Open it again.")
    new_key, new_value = own.pop("+key", "").strip(), own.pop("+value", "")
    tree: dict[str, Any] = {}
    for path, text in own.items():
        way, _, kind = path.rpartition(":")
        _put(tree, way.split("/"), _value(text, kind, way))
    if new_key or new_value.strip():
        if not new_key:
            raise UnfitError("Name the other value, too.")
        _put(tree, [f".{_escaped(new_key)}"], new_value)
    if not tree:
        return _ROOTS[is_a]
    return json_text.write(_built(tree))


def _retyped(parts: Iterable[Part | Group], sent: Mapping[str, str]) -> tuple[Part | Group, ...]:
    return tuple(
        replace(part, text=sent.get(part.name, part.text))
        if isinstance(part, Part)
        else replace(part, parts=_retyped(part.parts, sent))
        for part in parts
    )


def _sent(parts: Iterable[Part | Group]) -> Iterator[tuple[str, str]]:
    for part in parts:
        if isinstance(part, Part):
            yield part.name, part.text
        else:
            yield from _sent(part.parts)


def _of_object(
    path: str, value: dict[str, Any], details: Sequence[str], depth: int
) -> tuple[Part | Group, ...]:
    keys = dict.fromkeys([*details, *value])
    return tuple(_part(path, key, value.get(key, _GONE), depth) for key in keys)


def _of_list(path: str, value: list[Any], details: Sequence[str]) -> Iterator[Group]:
    """Yield a group for each object, and an empty one."""
    keys = tuple(dict.fromkeys([*details, *(key for each in value for key in each)]))
    for number, each in enumerate([*value, {}]):
        label = f"{number + 1}" if each else "Another one"
        yield Group(label, _of_object(f"{path}#{number}/", each, keys, _DEEPEST))


def _part(path: str, key: str, value: Any, depth: int) -> Part | Group:
    way, label = f"{path}.{_escaped(key)}", words(key) or key
    if isinstance(value, dict) and value and depth < _DEEPEST:
        return Group(label, _of_object(f"{way}/", value, (), depth + 1))
    if isinstance(value, list) and value and depth < _DEEPEST and all(map(_is_flat, value)):
        return Group(label, tuple(_of_list(f"{way}/", value, ())))
    kind, text = _written(value)
    return Part(f"{way}:{kind}", label, text, kind)


def _written(value: Any) -> tuple[str, str]:
    if value is _GONE:
        return NEW, ""
    if value is None:
        return NOTHING, ""
    if isinstance(value, bool):
        return BOOLEAN, "true" if value else "false"
    if isinstance(value, Number):
        return NUMBER, str(value)
    if isinstance(value, str):
        return (STRING, unbroken(value)) if value else (EMPTY, "")
    return TEXT, json_text.write(value)


def _is_flat(value: Any) -> bool:
    """Whether it is an object of plain values."""
    return isinstance(value, dict) and bool(value) and not any(map(_is_container, value.values()))


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)


def _value(text: str, kind: str, way: str) -> Any:
    """Return the value of a field, or that there is none. Raises UnfitError."""
    text = unbroken(text)
    if kind in _STRINGS:
        empty = {EMPTY: "", NOTHING: None}.get(kind, _GONE)
        return text or empty
    if not text.strip():
        return _GONE
    label = words(_unescaped(way.rpartition("/")[2][1:]))
    try:
        value = json_text.read(text)
    except RecursionError:
        raise UnfitError(f"{label} is nested too deeply.") from None
    except ValueError:
        value = _GONE
    expected = {NUMBER: Number, BOOLEAN: bool, TEXT: object}.get(kind)
    if expected is None or value is _GONE or not isinstance(value, expected):
        wanted = {NUMBER: "a number", BOOLEAN: "true or false"}.get(kind, "valid JSON")
        raise UnfitError(f"{label} is not {wanted}.")
    return value


def _put(tree: dict[str, Any], way: Sequence[str], value: Any) -> None:
    """Put a value where the way leads; an object that is left empty stays one."""
    *containers, last = way
    for step in containers:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise UnfitError("This form is not complete. Open it again.")
    if value is not _GONE:
        tree[last] = _Leaf(value)


@dataclass(frozen=True)
class _Leaf:
    value: Any


def _built(tree: Any) -> Any:
    if isinstance(tree, _Leaf):
        return tree.value
    steps = list(tree)
    if any(step.startswith("#") for step in steps):
        found = [_built(tree[step]) for step in sorted(steps, key=_number)]
        return [each for each in found if each != {}]
    return {_unescaped(step[1:]): _built(each) for step, each in tree.items()}


def _number(step: str) -> int:
    if not step[1:].isdecimal() or len(step) > 6:
        raise UnfitError("This form is not complete. Open it again.")
    return int(step[1:])


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
