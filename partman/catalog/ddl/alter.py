"""Generate statements that alter an object without dropping it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace

from partman.catalog.ddl import attributes, database_objects, grants, objects, sequences, types
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.text import SqlStyle, laid_out, listed, quoted
from partman.catalog.model import (
    OWNER,
    Attachment,
    Catalog,
    Column,
    Composite,
    Constraint,
    Domain,
    Enum,
    Extension,
    Function,
    Index,
    Object,
    Policy,
    Publication,
    PublishedTable,
    Range,
    Rule,
    Sequence,
    Setting,
    Statistics,
    Table,
    Trigger,
    TriggerState,
    View,
)
from partman.grammar.names import quoted as quoted_name
from partman.grammar.names import unquoted, without_schema

_OF_INDEXES = ("replica_identity", "clustered_on")
"""Attributes that name an index, which must exist: see indexed.py."""


def differing(obj: Object, other: Object) -> set[str]:
    """Return the names of the attributes in which two objects differ."""
    return {
        attribute.name
        for attribute in fields(obj)
        if attribute.compare
        and attribute.name != "parent"
        and getattr(obj, attribute.name) != getattr(other, attribute.name)
    }


_REPLACED: Mapping[type[Object], frozenset[str]] = {
    Attachment: frozenset({"bound"}),
    Column: frozenset({"generated"}),
    Domain: frozenset({"type", "collation"}),
    Index: frozenset({"definition"}),
    Publication: frozenset({"all_tables"}),
    PublishedTable: frozenset({"columns", "predicate"}),
    Range: frozenset({each.name for each in fields(Range)} - {"owner", "comment"}),
    Rule: frozenset({"definition"}),
    # As for a function.
    Statistics: frozenset({"definition", "owner"}),
    TriggerState: frozenset({"enabled"}),
    View: frozenset({"definition", "comments", "columns"}),
}
"""The attributes that no statement alters."""


def is_replaced(obj: Object, before: Object) -> bool:
    """Whether the object, and all that depends on it, must be dropped and created again."""
    changed = differing(obj, before)
    match obj, before:
        case Composite(), Composite():
            return not types.is_in_order(obj, before)
        case Constraint(), Constraint():
            return "definition" in changed or ("valid" in changed and not obj.valid)
        case Function(), Function():
            # A former owner cannot take ownership back, but can drop the function in a schema of
            # its own.
            return "owner" in changed or ("definition" in changed and not _can_replace(obj, before))
    return bool(changed & _REPLACED.get(type(obj), frozenset()))


def alter(
    obj: Object, before: Object, catalog: Catalog, columns: Iterable[Column], style: SqlStyle
) -> Statements | None:
    """Return statements that turn ``before`` into ``obj``, except the owner; None if unsupported.

    ``catalog`` is the catalog of ``obj``. ``columns`` are the columns that exist meanwhile.
    """
    changed = differing(obj, before) - {"comment", "owner", *_OF_INDEXES}
    statements: Statements | None = ()
    if isinstance(obj, Enum) and isinstance(before, Enum):
        statements = _enum(obj, before, catalog, columns, style) if changed else ()
    elif changed - attributes.names(obj):
        statements = _alter(obj, before, changed - attributes.names(obj), catalog, style)
    if statements is None:
        return None
    if changed & attributes.names(obj) or isinstance(obj, Column):
        statements = (*statements, *attributes.statements(obj, _altered(obj, before), style))
    if obj.comment == before.comment:
        return statements
    return (*statements, objects.comment(obj, style))


def _altered(obj: Object, before: Object) -> Object:
    """Return what is left to change after the change of other attributes."""
    if isinstance(obj, Column) and isinstance(before, Column):
        if (obj.type, obj.collation) != (before.type, before.collation):
            before = replace(before, storage=None, compression=None)
        # A comment goes with its constraint.
        if obj.null != before.null and obj.null != "NOT NULL":
            before = replace(before, null_comment=None)
    elif isinstance(obj, Domain) and isinstance(before, Domain) and not obj.not_null:
        return replace(before, null_comment=None)
    elif isinstance(obj, Trigger) and "definition" in differing(obj, before):
        return obj  # made anew with its attributes
    return before


def owner(obj: Object, to: str, style: SqlStyle) -> str:
    """Return the statement that changes an object's owner."""
    return f"ALTER {obj.kind.upper()} {style(obj.name)} OWNER TO {objects.role(to)}"


def _alter(  # noqa: C901
    obj: Object, before: Object, changed: set[str], catalog: Catalog, style: SqlStyle
) -> Statements | None:
    match obj, before:
        case Constraint(), Constraint() if changed == {"declared"} and obj.declared:
            return objects.create(replace(obj, comment=None), catalog, style)
        case Constraint(), Constraint() if changed == {"valid"}:
            validated = (f"ALTER {objects.on(obj, style)} VALIDATE CONSTRAINT {obj.name}",)
            return validated if obj.valid else _recreate(obj, catalog, style)
        case Policy(), Policy():
            return _policy(obj, before, catalog, style)
        case Trigger(), Trigger():
            return _recreate(obj, catalog, style)
        case Function(), Function() if obj.kind != "aggregate":
            return (objects.function(obj, style, replace=True),)
        case Table(), Table():
            return _table(obj, before, changed, style)
        case Column(), Column():
            return _column(obj, before, changed, catalog, style)
        case Domain(), Domain():
            return types.alter_domain(obj, before, changed, style)
        case Composite(), Composite():
            return types.alter_composite(obj, before, style)
        case Publication() | Setting(), Publication() | Setting():
            return database_objects.alter(obj, before, style)
        case Sequence(), Sequence():
            return _sequence(obj, changed - {"owned_by"}, style)
        case View(), View() if changed == {"options"}:
            begin = f"ALTER {obj.kind.upper()} {style(obj.name)}"
            return attributes.options(begin, obj.options, before.options)
        case Extension(), Extension():
            return (f"ALTER EXTENSION {obj.name} SET SCHEMA {obj.schema}",)
    return None


def _can_replace(obj: Function, before: Function) -> bool:
    """Whether CREATE OR REPLACE works: same arguments and result, and owned by OWNER."""

    def signature(function: Function) -> list[str]:
        return function.definition.split("\n")[:2]

    return signature(obj) == signature(before) and before.owner == OWNER == obj.owner


def _policy(obj: Policy, before: Policy, catalog: Catalog, style: SqlStyle) -> Statements:
    same_kind = (obj.command, obj.permissive) == (before.command, before.permissive)
    loses = (before.using and not obj.using) or (before.check and not obj.check)
    if not same_kind or loses:
        return _recreate(obj, catalog, style)
    is_new = [
        obj.roles != before.roles,
        *(() if obj.using is None else (obj.using != before.using,)),
        *(() if obj.check is None else (obj.check != before.check,)),
    ]
    clauses = zip(objects.policy_clauses(obj, style), is_new, strict=True)
    name = f"ALTER POLICY {obj.name} ON {style(obj.parent.name)}"
    return (laid_out(name, *(clause for clause, new in clauses if new)),)


def _recreate(obj: Object, catalog: Catalog, style: SqlStyle) -> Statements:
    dropped = objects.drop(obj, style)
    made = objects.create(replace(obj, comment=None), catalog, style)
    assert dropped is not None
    assert made is not None
    comments = () if obj.comment is None else (objects.comment(obj, style),)
    return (*dropped, *made, *comments)


def _table(obj: Table, before: Table, changed: set[str], style: SqlStyle) -> Statements | None:
    known = {"row_security", "force_row_security", "options", "unlogged"}
    if not changed <= known:
        return None
    statements = []
    if rules := objects.row_security(obj, style, before):
        statements.append(rules)
    if "unlogged" in changed:
        how = "UNLOGGED" if obj.unlogged else "LOGGED"
        statements.append(f"ALTER TABLE {style(obj.name)} SET {how}")
    if "options" in changed:
        begin = f"ALTER TABLE {style(obj.name)}"
        statements += attributes.options(begin, obj.options, before.options)
    return tuple(statements)


def _column(
    obj: Column, before: Column, changed: set[str], catalog: Catalog, style: SqlStyle
) -> Statements | None:
    if changed & {"generated", "declared"}:
        return None
    if before.null_declared and not obj.null_declared and obj.null != "NULL":
        return None
    begin = f"ALTER TABLE {style(obj.parent.name)} ALTER COLUMN {obj.name}"
    # The columns of children have defaults of their own.
    only = "ONLY " if obj.parent.name in catalog.with_children else ""
    alone = f"ALTER TABLE {only}{style(obj.parent.name)} ALTER COLUMN {obj.name}"
    statements = [
        *_drop_default(obj, before, alone),
        *_alter_type(obj, changed, begin, style),
        *_set_default(obj, changed, alone, style),
    ]
    if obj.null != "NULL":
        statements += _not_null(obj, before, catalog, style)
    if obj.identity and "identity" in changed:
        statements.append(f"{begin} SET GENERATED {obj.identity}")
    if "null" in changed and obj.null == "NULL":
        statements.append(f"{begin} DROP NOT NULL")
    return tuple(statements)


def _not_null(obj: Column, before: Column, catalog: Catalog, style: SqlStyle) -> Iterator[str]:
    """Yield what makes a column NOT NULL, or changes the name and form of it."""
    table = f"ALTER TABLE {style(obj.parent.name)}"
    was = before.null
    if obj.null == "NOT NULL NOT VALID" and was != obj.null:
        if was == "NOT NULL":
            yield f"{table} ALTER COLUMN {obj.name} DROP NOT NULL"
        yield from objects.not_null_not_valid(obj, style)
        return
    if was == "NULL":
        yield f"{table} {_set_not_null(obj, catalog)}"
        return
    if obj.null_declared and not before.null_declared:
        yield f"{table} ALTER COLUMN {obj.name} SET NOT NULL"
    if obj.null_name != before.null_name and obj.null_constraint != before.null_constraint:
        yield f"{table} RENAME CONSTRAINT {before.null_constraint} TO {obj.null_constraint}"
    if obj.null_is_inherited != before.null_is_inherited:
        how = "INHERIT" if obj.null_is_inherited else "NO INHERIT"
        yield f"{table} ALTER CONSTRAINT {obj.null_constraint} {how}"
    if obj.null != was:
        yield f"{table} VALIDATE CONSTRAINT {obj.null_constraint}"


def _set_not_null(obj: Column, catalog: Catalog) -> str:
    if _has_name_of_child(obj, catalog):
        obj = replace(obj, null_written_name=obj.null_constraint)
    if obj.null_written_name or not obj.null_is_inherited:
        return f"ADD {sequences.not_null(obj, obj.name)}"
    return f"ALTER COLUMN {obj.name} SET NOT NULL"


def _has_name_of_child(obj: Column, catalog: Catalog) -> bool:
    """Whether PostgreSQL would add a number to the usual name of NOT NULL: a child has it."""
    return obj.parent.name in catalog.with_children and any(
        each.null_declared and (each.name, each.null_constraint) == (obj.name, obj.null_constraint)
        for each in catalog.of(Column)
        if each.parent != obj.parent
    )


def _drop_default(obj: Column, before: Column, begin: str) -> list[str]:
    """Drop a default that is not expected, or prevents a change of type."""
    statements = []
    new_type = (obj.type, obj.collation) != (before.type, before.collation)
    if before.default is not None and (new_type or obj.default is None):
        statements.append(f"{begin} DROP DEFAULT")
    return statements


def _alter_type(obj: Column, changed: set[str], begin: str, style: SqlStyle) -> Iterator[str]:
    if changed & {"type", "collation"}:
        collation = f" COLLATE {obj.collation}" if obj.collation else ""
        as_type = f"{begin} TYPE {style(obj.type)}{collation}"
        yield laid_out(as_type, f"USING {obj.name}::{style(obj.type)}")


def _set_default(obj: Column, changed: set[str], begin: str, style: SqlStyle) -> Iterator[str]:
    if obj.default is not None and changed & {"type", "collation", "default"}:
        yield f"{begin} SET DEFAULT {style(obj.default)}"


def _sequence(obj: Sequence, changed: set[str], style: SqlStyle) -> Statements:
    statements = []
    if changed - {"unlogged"}:
        statements.append(laid_out(f"ALTER SEQUENCE {style(obj.name)}", sequences.options(obj)))
    if "unlogged" in changed:
        how = "UNLOGGED" if obj.unlogged else "LOGGED"
        statements.append(f"ALTER SEQUENCE {style(obj.name)} SET {how}")
    return tuple(statements)


def _enum(
    obj: Enum, before: Enum, catalog: Catalog, columns: Iterable[Column], style: SqlStyle
) -> Statements:
    kept = [label for label in obj.labels if label in before.labels]
    if kept == list(before.labels):
        return tuple(_add_labels(obj, before, style))
    return _replace_type(obj, catalog, columns, style)


def _add_labels(obj: Enum, before: Enum, style: SqlStyle) -> list[str]:
    existing, statements = set(before.labels), []
    for position, label in enumerate(obj.labels):
        if label in existing:
            continue
        place = ""
        if position:
            place = f" AFTER {quoted(obj.labels[position - 1])}"
        elif obj.labels[1:]:
            place = f" BEFORE {quoted(before.labels[0])}" if before.labels else ""
        statements.append(f"ALTER TYPE {style(obj.name)} ADD VALUE {quoted(label)}{place}")
    return statements


def _replace_type(
    obj: Enum, catalog: Catalog, columns: Iterable[Column], style: SqlStyle
) -> Statements:
    """Create the type again, because labels cannot be dropped, and change the columns to it."""
    bare = without_schema(obj.name)
    name, old = style(obj.name), quoted_name(f"{unquoted(bare)}_before")
    labels = listed(map(quoted, obj.labels))
    statements = [
        f"ALTER TYPE {name} RENAME TO {old}",
        laid_out(f"CREATE TYPE {name}", f"AS ENUM ({labels})"),
        *grants.of_new(obj, catalog, style),
        *(() if obj.comment is None else (objects.comment(obj, style),)),
    ]
    for column in columns:
        if column.type not in (obj.name, f"{obj.name}[]"):
            continue
        begin = f"ALTER TABLE {style(column.parent.name)} ALTER COLUMN {column.name}"
        kind = style(column.type)
        as_text = "text[]" if kind.endswith("[]") else "text"
        if column.default is not None:
            statements.append(f"{begin} DROP DEFAULT")
        statements.append(
            laid_out(f"{begin} TYPE {kind}", f"USING {column.name}::{as_text}::{kind}")
        )
        if column.default is not None:
            statements.append(f"{begin} SET DEFAULT {style(column.default)}")
    return (*statements, f"DROP TYPE {style(obj.name.removesuffix(bare) + old)}")
