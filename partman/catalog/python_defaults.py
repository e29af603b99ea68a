"""Defaults that Python computes: no database has the value of another one, and none is wrong.

Piccolo calls ``Varchar(default=generate_token)`` when it makes the column, and PostgreSQL keeps
that one value as the column's default. A new row gets a value of its own, from Python.
"""

from collections.abc import Collection
from dataclasses import replace

from partman.catalog.model import Catalog, Column, Object, Reference
from partman.grammar.tokens import Token, scan


class PythonDefault(str):
    """A column's default, as PostgreSQL prints it, that Python has computed.

    Equal to every other one, and to nothing else.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PythonDefault)

    def __ne__(self, other: object) -> bool:  # str has one of its own
        return not self == other

    def __hash__(self) -> int:
        return hash(PythonDefault)


def mark(catalog: Catalog, columns: Collection[Reference]) -> Catalog:
    """Return the catalog with the defaults of these columns marked as computed by Python.

    What is not a value stays as it is, as a function that somebody made the default by hand.
    """

    def marked(obj: Object) -> Object:
        if not isinstance(obj, Column) or obj.default is None or obj.reference not in columns:
            return obj
        return replace(obj, default=PythonDefault(obj.default)) if _is_value(obj.default) else obj

    return replace(catalog, objects=tuple(map(marked, catalog.objects))) if columns else catalog


def mark_as_in(catalog: Catalog, other: Catalog) -> Catalog:
    """Return the catalog with the defaults marked that are marked in the other one."""
    return mark(
        catalog,
        {obj.reference for obj in other.of(Column) if isinstance(obj.default, PythonDefault)},
    )


def _is_value(default: str) -> bool:
    """Whether it is a value as PostgreSQL prints it: ``'a'::text``, ``(-1.5)``, ``NULL::date``."""
    tokens = list(scan(default) or ())
    if tokens and tokens[0].text == "(":
        end = 3 if len(tokens) > 1 and tokens[1].text == "-" else 2
        is_number = len(tokens) > end and tokens[end - 1].is_number and tokens[end].text == ")"
        return is_number and _is_type(tokens[end + 1 :])
    if tokens and tokens[0].text == "-":
        del tokens[0]
    if not tokens:
        return False
    first, *rest = tokens
    is_constant = first.is_string or first.is_number or first.text in ("NULL", "true", "false")
    return is_constant and _is_type(rest)


def _is_type(tokens: list[Token]) -> bool:
    """Whether it is nothing, or the types that a value is cast to."""
    signs = ("::", ".", ",", "(", ")", "[", "]")
    return (not tokens or tokens[0].text == "::") and all(
        (token.is_word and not token.is_string) or token.is_number or token.text in signs
        for token in tokens
    )
