"""What has to be there before what."""

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
    Reference,
    Schema,
    Sequence,
    Table,
    Trigger,
    View,
)

_FIRST = (Schema, Extension, Enum, Composite, Domain, Sequence)
_MENTIONING = (Function, Table, Column, View)
_SORTS: tuple[type[Object], ...] = _MENTIONING
"""Which of these comes first is a matter of what mentions what."""

CODE = len(_FIRST)
OF_A_TABLE = CODE + 6
DEFAULTS = OF_A_TABLE + 2
OWNERS = DEFAULTS + 1

OrderKey = tuple[int, str, int, str]
"""What things are sorted by: a rank, then what they belong to, so that this stays together."""


def keys(catalog: Catalog) -> dict[Reference, OrderKey]:
    """Return for each object when it is to be made; it is dropped in the opposite order."""
    placed = {one.reference: _key(one) for one in catalog.objects}
    code: list[Object] = [one for one in catalog.objects if isinstance(one, _MENTIONING)]
    code.sort(
        key=lambda one: ([type(one) is each for each in _MENTIONING].index(True), one.reference)
    )
    for number, one in enumerate(_sorted_by_mention(code, catalog)):
        placed[one.reference] = (CODE, "", number, "")
    return placed


def words(one: Object, catalog: Catalog) -> str:
    """Return all that an object says of others."""
    text = _words(one)
    if isinstance(one, Table):
        columns = (each for each in catalog.of(Column) if each.parent == one.reference)
        text = " ".join(map(_words, columns))
    return text


def is_about(text: str, one: Object, of: Object) -> bool:
    """Whether what ``of`` says may be about an object."""
    if isinstance(one, Column):
        if of.parent != one.parent and not mentions(text, one.parent.name):
            return False
        return mentions(text, one.name)
    return mentions(text, one.name)


def calls(one: Object, functions: Iterable[Function], catalog: Catalog) -> bool:
    """Whether an object may need one of the functions."""
    return any(is_about(words(one, catalog), function, one) for function in functions)


@singledispatch
def _words(one: Object) -> str:
    text: str = getattr(one, "definition", None) or ""
    return text


@_words.register
def _of_policy(one: Policy) -> str:
    return f"{one.using} {one.check}"


@_words.register
def _of_column(one: Column) -> str:
    return f"{one.type} {one.default} {one.generated}"


def _key(one: Object) -> OrderKey:
    match one:
        case Constraint():
            return _key_of_constraint(one)
        case Index():
            return (CODE + 4, one.parent.name, 0, one.name)
        case Policy():
            return (OF_A_TABLE, one.parent.name, 1, one.name)
        case Trigger():
            return (OF_A_TABLE, one.parent.name, 3, one.name)
        case DefaultGrant():
            return (DEFAULTS, one.of, 0, one.name)
    if type(one) in _FIRST:
        return (_FIRST.index(type(one)), "", 0, one.name)
    return (OF_A_TABLE + 1, one.kind, 0, one.name)


def _key_of_constraint(one: Constraint) -> OrderKey:
    if one.parent.kind == "domain":
        rank = CODE + 1
    elif one.definition.startswith("FOREIGN KEY"):
        rank = CODE + 5
    else:
        rank = CODE + (3 if one.definition.startswith("CHECK") else 2)
    return (rank, one.parent.name, 0, one.name)


def row_security(table: Reference) -> OrderKey:
    """Return when the attributes of a table that is there are set: before its policies."""
    return (OF_A_TABLE, table.name, 0, "")


def dropped_policy(policy: Policy) -> OrderKey:
    """Return when a policy is dropped that nothing forces to go first: with the new ones."""
    return (OF_A_TABLE, policy.parent.name, 2, policy.name)


def grants(parent: Reference, grantee: str) -> OrderKey:
    """Return when rights are given and taken: as the last thing that concerns the object."""
    return (OF_A_TABLE, parent.name, 4, grantee)


def _sorted_by_mention(code: list[Object], catalog: Catalog) -> Iterable[Object]:
    texts = {one.reference: words(one, catalog) for one in code}
    done: dict[Reference, Object] = {}
    under_way: set[Reference] = set()

    def visit(one: Object) -> Iterator[Object]:
        if one.reference in done or one.reference in under_way:
            return
        under_way.add(one.reference)
        for other in _before(one, code, texts[one.reference]):
            yield from visit(other)
        done[one.reference] = one
        yield one

    for one in code:
        yield from visit(one)


def _before(one: Object, code: list[Object], text: str) -> Iterator[Object]:
    for other in code:
        if other is not one and (other.reference == one.parent or is_about(text, other, one)):
            yield other
