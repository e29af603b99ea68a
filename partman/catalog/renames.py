"""Recognize renamed objects by their shape: one name is missing, another one is extra."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.ddl.text import quoted
from partman.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Enum,
    Function,
    Index,
    Object,
    Part,
    Policy,
    Reference,
    Table,
    Trigger,
    View,
)
from partman.catalog.model import (
    Sequence as SequenceObject,
)

_RENAMED = (Table, Column, Constraint, Index, Policy, Trigger, Function, View, SequenceObject)
_NAMES = ("name", "parent", "null_name")
"""Attributes with the name of an object; NOT NULL keeps that of the column's first name."""
_WITH_ROWS = (Table, Column, SequenceObject)


@dataclass(frozen=True)
class Rename:
    """An object that has another name than is expected."""

    expected: Reference
    found: Reference
    statement: str
    """Gives it the expected name."""


@dataclass(frozen=True)
class Renames:
    """What may have been renamed."""

    certain: tuple[Rename, ...]
    ambiguous: tuple[tuple[Reference, ...], ...]
    """Groups of objects with rows: missing and extra ones that have the same shape."""


def find_renames(expected: Catalog, found: Catalog) -> Renames:
    """Return the objects that differ in nothing but their name.

    A column must have the same place in its table; a table is recognized by its columns. Where
    several objects have the same shape, none is taken for another one.
    """
    differences = compare(expected, found)
    sides = [
        _by_shape([obj for each in differences if (obj := _object(each, verdict))], catalog)
        for verdict, catalog in ((Verdict.MISSING, expected), (Verdict.EXTRA, found))
    ]
    missing, extra = sides
    certain: list[Rename] = []
    ambiguous = []
    for shape in missing:
        if shape not in extra:
            continue
        pairs = list(_pairs(missing[shape], extra[shape], expected, found))
        certain += [
            Rename(one.reference, other.reference, rename(other, one)) for one, other in pairs
        ]
        paired = {obj.reference for pair in pairs for obj in pair}
        left = [obj for obj in (*missing[shape], *extra[shape]) if obj.reference not in paired]
        if left and isinstance(left[0], _WITH_ROWS) and _on_both_sides(left, missing[shape]):
            ambiguous.append(tuple(obj.reference for obj in left))
    certain += _labels(differences)
    return Renames(tuple(certain), tuple(ambiguous))


def rename(obj: Object, to: Object) -> str:
    """Return the statement that renames an object."""
    name = to.name
    match obj:
        case Column():
            return f"ALTER TABLE {obj.parent.name} RENAME COLUMN {obj.name} TO {name}"
        case Constraint():
            parent = f"{obj.parent.kind.upper()} {obj.parent.name}"
            return f"ALTER {parent} RENAME CONSTRAINT {obj.name} TO {name}"
        case Part():
            return f"ALTER {obj.kind.upper()} {obj.name} ON {obj.parent.name} RENAME TO {name}"
    return f"ALTER {obj.kind.upper()} {obj.name} RENAME TO {_in_schema(to)}"


def _object(difference: Difference, verdict: Verdict) -> Object | None:
    if difference.verdict is not verdict or not isinstance(difference.object, _RENAMED):
        return None
    if isinstance(difference.object, SequenceObject) and difference.object.owned_by:
        return None
    return difference.object


def _by_shape(objects: Sequence[Object], catalog: Catalog) -> dict[Hashable, list[Object]]:
    found = defaultdict(list)
    for obj in objects:
        found[_shape(obj, catalog)].append(obj)
    return found


def _shape(obj: Object, catalog: Catalog) -> Hashable:
    """Return all of an object but its name."""
    words = (type(obj), obj.kind, obj.parent, *_attributes(obj))
    if not isinstance(obj, Table):
        return words
    columns = [each for each in catalog.of(Column) if each.parent == obj.reference]
    # The sequence of a serial has the table's name.
    parts = sorted(
        (each.name, *map(str, _attributes(each, without=("default",)))) for each in columns
    )
    return (*words, tuple(parts))


def _attributes(obj: Object, without: Sequence[str] = ()) -> Iterator[Hashable]:
    for attribute in fields(obj):
        if not attribute.compare or attribute.name in (*_NAMES, *without):
            continue
        value = getattr(obj, attribute.name)
        yield _without_own_name(value, obj) if attribute.name == "definition" else value


def _without_own_name(definition: Hashable, obj: Object) -> Hashable:
    """Leave an object's name out of the beginning of its definition."""
    name, begin = obj.name, obj.kind.upper()
    match obj:
        case Function():
            name = name.partition("(")[0]
        case Index():
            name = _in_schema(obj)
    return str(definition).replace(f"{begin} {name}", begin, 1)


def _in_schema(obj: Object) -> str:
    """Return the name without its schema and, for a function, without its arguments."""
    name = obj.name.partition("(")[0] if isinstance(obj, Function) else obj.name
    schema = obj.parent.name if obj.parent else ""
    # An index is in the schema of its table.
    while schema and not name.startswith(f"{schema}."):
        schema = schema.rpartition(".")[0]
    return name.removeprefix(f"{schema}.")


def _pairs(
    missing: Sequence[Object], extra: Sequence[Object], expected: Catalog, found: Catalog
) -> Iterator[tuple[Object, Object]]:
    if isinstance(missing[0], Column):
        places = {_place(obj, found): obj for obj in extra}
        for obj in missing:
            if (other := places.get(_place(obj, expected))) is not None:
                yield obj, other
    elif len(missing) == len(extra) == 1:
        yield missing[0], extra[0]


def _place(obj: Object, catalog: Catalog) -> int:
    """Return the number of a column in its table, not counting the dropped ones before it."""
    columns = [each for each in catalog.of(Column) if each.parent == obj.parent]
    assert isinstance(obj, Column)
    return sum(each.position < obj.position for each in columns)


def _on_both_sides(left: Sequence[Object], missing: Sequence[Object]) -> bool:
    return 0 < sum(obj in missing for obj in left) < len(left)


def _labels(differences: Sequence[Difference]) -> Iterator[Rename]:
    """Yield the labels of enums that have another name at the same place."""
    for difference in differences:
        expected, found = difference.expected, difference.found
        if not isinstance(expected, Enum) or not isinstance(found, Enum):
            continue
        if len(expected.labels) != len(found.labels):
            continue
        changed = [
            pair for pair in zip(expected.labels, found.labels, strict=True) if len({*pair}) > 1
        ]
        moved = {label for label, _ in changed} & {label for _, label in changed}
        if difference.attribute == "labels" and not moved:
            for label, other in changed:
                statement = (
                    f"ALTER TYPE {expected.name} RENAME VALUE {quoted(other)} TO {quoted(label)}"
                )
                yield Rename(expected.reference, found.reference, statement)
