"""Defaults that Python computes: no database has the value of another one, and none is wrong.

Piccolo calls ``Varchar(default=generate_token)`` when it makes the column, and PostgreSQL keeps
that one value as the column's default. A new row gets a value of its own, from Python.
"""

import re
from collections.abc import Collection
from dataclasses import replace

from partman.catalog.model import Catalog, Column, Object, Reference

# A value as PostgreSQL prints it: '2026-11-27 00:00:00'::timestamp without time zone
_VALUE = re.compile(r"(NULL|true|false|\(?-?[\d.]+\)?|'(?:[^']|'')*')(::[\w \".,()\[\]]+)*")


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
        is_value = _VALUE.fullmatch(obj.default)
        return replace(obj, default=PythonDefault(obj.default)) if is_value else obj

    return replace(catalog, objects=tuple(map(marked, catalog.objects))) if columns else catalog


def mark_as_in(catalog: Catalog, other: Catalog) -> Catalog:
    """Return the catalog with the defaults marked that are marked in the other one."""
    return mark(
        catalog,
        {obj.reference for obj in other.of(Column) if isinstance(obj.default, PythonDefault)},
    )
