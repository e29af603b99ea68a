"""The order in which objects are created; they are dropped in reverse order."""

from collections.abc import Iterable, Iterator
from functools import singledispatch

from partman.catalog.ddl.text import mentions
from partman.catalog.model import (
    Catalog,
    Column,
    Composite,
    Constraint,
    DefaultGrant,
    Domain,
    Enum,
    Extension,
    Function,
    Index,
    Object,
    Policy,
    Range,
    Reference,
    Schema,
    Sequence,
    Table,
    Trigger,
    View,
)

_FIRST = (Schema, Extension, Enum, Composite, Domain, Range, Sequence)
_MENTIONING = (Function, Table, Column, View)
"""Classes whose objects are ordered by which of them mentions which."""

CODE = len(_FIRST)
OF_A_TABLE = CODE + 6
DEFAULTS = OF_A_TABLE + 2
OWNERS = DEFAULTS + 1

OrderKey = tuple[int, str, int, str]
"""A rank, then the parent's name, which keeps the parts of a table together."""


def keys(catalog: Catalog) -> dict[Reference, OrderKey]:
    """Return the sort key for the creation of each object."""
    placed = {obj.reference: _key(obj) for obj in catalog.objects}
    mutual: list[Object] = [obj for obj in catalog.objects if isinstance(obj, _MENTIONING)]
    mutual.sort(
        key=lambda obj: ([type(obj) is each for each in _MENTIONING].index(True), obj.reference)
    )
    for number, obj in enumerate(_sorted_by_mention(mutual, catalog)):
        placed[obj.reference] = (CODE, "", number, "")
    return placed


def definition_text(obj: Object, catalog: Catalog) -> str:
    """Return the text of an object's definition, in which it may mention others."""
    text = _words(obj)
    if isinstance(obj, Table):
        columns = (each for each in catalog.of(Column) if each.parent == obj.reference)
        text = " ".join(map(_words, columns))
    return text


def mentions_object(text: str, obj: Object, of: Object) -> bool:
    """Whether ``text``, the definition of ``of``, may mention an object."""
    if isinstance(obj, Column):
        if of.parent != obj.parent and not mentions(text, obj.parent.name):
            return False
        return mentions(text, obj.name)
    return mentions(text, obj.name)


def calls(obj: Object, functions: Iterable[Function], catalog: Catalog) -> bool:
    """Whether an object may call one of the functions."""
    return any(
        mentions_object(definition_text(obj, catalog), function, obj) for function in functions
    )


@singledispatch
def _words(obj: Object) -> str:
    text: str = getattr(obj, "definition", None) or ""
    return text


@_words.register
def _of_policy(obj: Policy) -> str:
    return f"{obj.using} {obj.check}"


@_words.register
def _of_column(obj: Column) -> str:
    return f"{obj.type} {obj.default} {obj.generated}"


def _key(obj: Object) -> OrderKey:
    match obj:
        case Constraint():
            return _key_of_constraint(obj)
        case Index():
            return (CODE + 4, obj.parent.name, 0, obj.name)
        case Policy():
            return (OF_A_TABLE, obj.parent.name, 1, obj.name)
        case Trigger():
            return (OF_A_TABLE, obj.parent.name, 3, obj.name)
        case DefaultGrant():
            return (DEFAULTS, obj.of, 0, obj.name)
    if type(obj) in _FIRST:
        return (_FIRST.index(type(obj)), "", 0, obj.name)
    return (OF_A_TABLE + 1, obj.kind, 0, obj.name)


def _key_of_constraint(obj: Constraint) -> OrderKey:
    if obj.parent.kind == "domain":
        rank = CODE + 1
    elif obj.referenced:
        rank = CODE + 5
    else:
        rank = CODE + (3 if obj.type == "CHECK" else 2)
    return (rank, obj.parent.name, 0, obj.name)


def row_security(table: Reference) -> OrderKey:
    """Return the sort key for altering a table's row-level security: before its policies."""
    return (OF_A_TABLE, table.name, 0, "")


def dropped_policy(policy: Policy) -> OrderKey:
    """Return the sort key for dropping a policy together with creating the new ones."""
    return (OF_A_TABLE, policy.parent.name, 2, policy.name)


def grants(parent: Reference, grantee: str) -> OrderKey:
    """Return the sort key for the grants of an object: after all else about it."""
    return (OF_A_TABLE, parent.name, 4, grantee)


def _sorted_by_mention(mutual: list[Object], catalog: Catalog) -> Iterable[Object]:
    texts = {obj.reference: definition_text(obj, catalog) for obj in mutual}
    done: dict[Reference, Object] = {}
    under_way: set[Reference] = set()

    def visit(obj: Object) -> Iterator[Object]:
        if obj.reference in done or obj.reference in under_way:
            return
        under_way.add(obj.reference)
        for other in _before(obj, mutual, texts[obj.reference]):
            yield from visit(other)
        done[obj.reference] = obj
        yield obj

    for obj in mutual:
        yield from visit(obj)


def _before(obj: Object, mutual: list[Object], text: str) -> Iterator[Object]:
    for other in mutual:
        if other is not obj and (
            other.reference == obj.parent or mentions_object(text, other, obj)
        ):
            yield other
