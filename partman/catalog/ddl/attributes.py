"""Generate the statements that set single attributes, each by a command of its own.

The same statements follow the one that creates an object, where an attribute differs from what is
usual, and alter an object, where it differs from what was found.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from partman.catalog.ddl.text import SqlStyle, quoted
from partman.catalog.model import (
    Column,
    Constraint,
    Domain,
    Function,
    Index,
    Object,
    Rule,
    Statistics,
    Table,
    Trigger,
    View,
)

Statements = tuple[str, ...]
_Writer = Callable[[Any, Any, SqlStyle], Statements]
"""Returns the statements for an object and the value that it has so far."""

ENABLED = {"origin": "ENABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
"""The keywords of ALTER TABLE for when a trigger fires; DISABLE for all other values."""


def differing(obj: Object, before: Object | None) -> tuple[str, ...]:
    """Return the attributes set here that differ: from ``before``, or from what is usual."""
    return tuple(
        name
        for name in _WRITERS.get(type(obj), {})
        if getattr(obj, name) != _so_far(obj, before, name)
    )


def statements(obj: Object, before: Object | None, style: SqlStyle) -> Statements:
    """Return what sets the attributes in which an object differs from ``before``.

    None: it has just been created.
    """
    writers = _WRITERS.get(type(obj), {})
    return tuple(
        statement
        for name in differing(obj, before)
        for statement in writers[name](obj, _so_far(obj, before, name), style)
    )


def names(obj: Object) -> frozenset[str]:
    """Return the names of the attributes set here."""
    return frozenset(_WRITERS.get(type(obj), {}))


def options(begin: str, after: tuple[str, ...], before: tuple[str, ...]) -> Statements:
    """Return what sets and resets options after ``begin``."""
    kept = {option.partition("=")[0] for option in after}
    unset = [name for option in before if (name := option.partition("=")[0]) not in kept]
    done = []
    if changed := [option for option in after if option not in before]:
        done.append(f"{begin} SET ({', '.join(changed)})")
    if unset:
        done.append(f"{begin} RESET ({', '.join(unset)})")
    return tuple(done)


def enabled(obj: Object, what: str, how: str, style: SqlStyle) -> str:
    """Return the statement that sets when a trigger fires or a rule is applied."""
    assert obj.parent is not None
    word = ENABLED.get(how, "DISABLE")
    return f"ALTER TABLE {style(obj.parent.name)} {word} {what} {obj.name}"


def clustered_on(obj: Table | View, style: SqlStyle) -> str:
    """Return the statement that sets the index for CLUSTER."""
    begin = f"ALTER {obj.kind.upper()} {style(obj.name)}"
    if obj.clustered_on is None:
        return f"{begin} SET WITHOUT CLUSTER"
    return f"{begin} CLUSTER ON {obj.clustered_on.rpartition('.')[2]}"


def _so_far(obj: Object, before: Object | None, name: str) -> Any:
    if before is not None:
        return getattr(before, name)
    [usual] = [field.default for field in fields(obj) if field.name == name]
    return usual


def _index_comment(obj: Constraint, _: Any, style: SqlStyle) -> Statements:
    text = "NULL" if obj.index_comment is None else quoted(obj.index_comment)
    return (f"COMMENT ON INDEX {style(obj.index or '')} IS {text}",)


def _null_comment(obj: Column | Domain, _: Any, style: SqlStyle) -> Statements:
    on = style(obj.parent.name) if isinstance(obj, Column) else f"DOMAIN {style(obj.name)}"
    text = "NULL" if obj.null_comment is None else quoted(obj.null_comment)
    return (f"COMMENT ON CONSTRAINT {obj.null_constraint} ON {on} IS {text}",)


def _alter_column(obj: Column, style: SqlStyle) -> str:
    return f"ALTER {obj.parent.kind.upper()} ONLY {style(obj.parent.name)} ALTER COLUMN {obj.name}"


def _statistics(obj: Column, _: Any, style: SqlStyle) -> Statements:
    target = -1 if obj.statistics is None else obj.statistics
    return (f"{_alter_column(obj, style)} SET STATISTICS {target}",)


def _storage(obj: Column, _: Any, style: SqlStyle) -> Statements:
    return (f"{_alter_column(obj, style)} SET STORAGE {obj.storage or obj.type_storage}",)


def _compression(obj: Column, _: Any, style: SqlStyle) -> Statements:
    return (f"{_alter_column(obj, style)} SET COMPRESSION {obj.compression or 'default'}",)


def _column_options(obj: Column, before: Any, style: SqlStyle) -> Statements:
    return options(_alter_column(obj, style), obj.options, before)


def _depends_on(obj: Object, before: Any, style: SqlStyle) -> Statements:
    name = f"{obj.name} ON {style(obj.parent.name)}" if _is_part(obj) else style(obj.name)  # type: ignore[union-attr]
    begin = f"ALTER {obj.kind.upper()} {name}"
    after: tuple[str, ...] = obj.depends_on  # type: ignore[attr-defined]
    return (
        *(f"{begin} NO DEPENDS ON EXTENSION {each}" for each in before if each not in after),
        *(f"{begin} DEPENDS ON EXTENSION {each}" for each in after if each not in before),
    )


def _is_part(obj: Object) -> bool:
    return isinstance(obj, Trigger)


def _access_method(obj: Table | View, _: Any, style: SqlStyle) -> Statements:
    begin = f"ALTER {obj.kind.upper()} {style(obj.name)}"
    return (f"{begin} SET ACCESS METHOD {obj.access_method or 'heap'}",)


def _of_type(obj: Table, _: Any, style: SqlStyle) -> Statements:
    begin = f"ALTER TABLE {style(obj.name)}"
    return (f"{begin} OF {style(obj.of_type)}" if obj.of_type else f"{begin} NOT OF",)


def _target(obj: Statistics, _: Any, style: SqlStyle) -> Statements:
    target = -1 if obj.target is None else obj.target
    return (f"ALTER STATISTICS {style(obj.name)} SET STATISTICS {target}",)


def _index_statistics(obj: Index, before: Any, style: SqlStyle) -> Statements:
    usual = {number: -1 for number, _ in before}
    return tuple(
        f"ALTER INDEX {style(obj.name)} ALTER COLUMN {number} SET STATISTICS {target}"
        for number, target in {**usual, **dict(obj.statistics)}.items()
    )


def _view_columns(obj: View, _: Any, style: SqlStyle) -> Statements:
    begin = f"ALTER {obj.kind.upper()} {style(obj.name)}"
    return tuple(f"{begin} {style(each)}" for each in obj.columns)


_WRITERS: Mapping[type[Object], Mapping[str, _Writer]] = {
    Constraint: {"index_comment": _index_comment},
    Column: {
        "storage": _storage,
        "compression": _compression,
        "statistics": _statistics,
        "options": _column_options,
        "null_comment": _null_comment,
    },
    Domain: {"null_comment": _null_comment},
    Table: {"access_method": _access_method, "of_type": _of_type},
    View: {
        "columns": _view_columns,
        "access_method": _access_method,
        "depends_on": _depends_on,
    },
    Index: {"statistics": _index_statistics, "depends_on": _depends_on},
    Trigger: {
        "enabled": lambda obj, _, style: (enabled(obj, "TRIGGER", obj.enabled, style),),
        "depends_on": _depends_on,
    },
    Rule: {"enabled": lambda obj, _, style: (enabled(obj, "RULE", obj.enabled, style),)},
    Statistics: {"target": _target},
    Function: {"depends_on": _depends_on},
}
