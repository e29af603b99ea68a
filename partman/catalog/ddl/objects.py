"""Generate the statements that create and drop each kind of object."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from partman.catalog.ddl import attributes, constraints, database_objects, sequences, types
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.text import SqlStyle, laid_out, quoted, split, unwrapped
from partman.catalog.model import (
    ITS_OWNER,
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
    Other,
    Policy,
    Publication,
    PublishedSchema,
    PublishedTable,
    Range,
    Reference,
    Rule,
    Schema,
    Sequence,
    Setting,
    Statistics,
    Table,
    Trigger,
    TriggerState,
    View,
)


def create(
    obj: Object, catalog: Catalog, style: SqlStyle, late: Collection[Reference] = ()
) -> Statements | None:
    """Return statements that create an object with its comment; None if unsupported.

    Owner, grants and the column that owns a sequence are not included. ``late``: columns whose
    default is set after their table is created.
    """
    statements = _create(obj, catalog, style, late)
    if statements is None:
        return None
    comments = [] if obj.comment is None else [comment(obj, style)]
    if isinstance(obj, View):
        comments += _column_comments(obj, style)
    return (*statements, *attributes.statements(obj, None, style), *comments)


def drop(obj: Object, style: SqlStyle) -> Statements | None:
    """Return statements that drop an object; None if unsupported."""
    match obj:
        case Constraint() | Column():
            return (f"ALTER {on(obj, style)} DROP {obj.kind.upper()} {obj.name}",)
        case Policy() | Trigger() | Rule():
            return (f"DROP {obj.kind.upper()} {obj.name} ON {style(obj.parent.name)}",)
        case TriggerState():
            return (attributes.enabled(obj, "TRIGGER", obj.usual, style),)
        case Publication() | PublishedTable() | PublishedSchema() | Setting():
            return database_objects.drop(obj, style)
        case Other() | Attachment():  # see attachments.py
            return None
    if obj.kind == "aggregate":
        return None
    return (f"DROP {obj.kind.upper()} {style(obj.name)}",)


def comment(obj: Object, style: SqlStyle) -> str:
    """Return the COMMENT statement of an object."""
    text = "NULL" if obj.comment is None else quoted(obj.comment)
    match obj:
        case Column():
            name = f"{style(obj.parent.name)}.{obj.name}"
        case Constraint() if obj.parent.kind == "domain":
            name = f"{obj.name} ON DOMAIN {style(obj.parent.name)}"
        case Constraint() | Policy() | Trigger() | Rule():
            name = f"{obj.name} ON {style(obj.parent.name)}"
        case _:
            name = style(obj.name)
    return laid_out(f"COMMENT ON {obj.kind.upper()} {name}", f"IS {text}")


def column(obj: Column, catalog: Catalog, style: SqlStyle, *, without_default: bool = False) -> str:
    """Return a column's definition as in CREATE TABLE."""
    words = [obj.name, style(obj.type)]
    if obj.collation:
        words.append(f"COLLATE {obj.collation}")
    if obj.default is not None and not without_default:
        words.append(f"DEFAULT {style(obj.default)}")
    if obj.generated:
        expression, _, how = obj.generated.rpartition(" ")
        words.append(f"GENERATED ALWAYS AS ({unwrapped(style(expression))}) {how}")
    if obj.identity:
        words.append(sequences.identity(obj, catalog, style))
    if obj.null == "NOT NULL":
        words.append(sequences.not_null(obj))
    return " ".join(words)


def on(obj: Object, style: SqlStyle) -> str:
    """Return the parent of a column or a constraint as in ALTER: ``TABLE partners``."""
    assert obj.parent is not None
    return f"{obj.parent.kind.upper()} {style(obj.parent.name)}"


def role(name: str) -> str:
    """Return a role as in GRANT."""
    return "CURRENT_USER" if name in (OWNER, ITS_OWNER) else name


def policy_clauses(obj: Policy, style: SqlStyle) -> list[str]:
    """Return the clauses that ALTER POLICY can change."""
    clauses = [f"TO {', '.join(map(role, obj.roles))}"]
    if obj.using is not None:
        clauses.append(f"USING ({unwrapped(style(obj.using))})")
    if obj.check is not None:
        clauses.append(f"WITH CHECK ({unwrapped(style(obj.check))})")
    return clauses


def row_security(obj: Table, style: SqlStyle, before: Table | None = None) -> str | None:
    """Return the statement that sets the row-level security that differs; None if none does."""
    old = (before.row_security, before.force_row_security) if before else (False, False)
    words = []
    if obj.row_security != old[0]:
        words.append(f"{'ENABLE' if obj.row_security else 'DISABLE'} ROW LEVEL SECURITY")
    if obj.force_row_security != old[1]:
        words.append(f"{'' if obj.force_row_security else 'NO '}FORCE ROW LEVEL SECURITY")
    return f"ALTER TABLE {style(obj.name)} {', '.join(words)}" if words else None


def _create(  # noqa: C901
    obj: Object, catalog: Catalog, style: SqlStyle, late: Collection[Reference]
) -> Statements | None:
    match obj:
        case Schema():
            return (f"CREATE SCHEMA {obj.name}",)
        case Extension():
            return (f"CREATE EXTENSION {obj.name} SCHEMA {obj.schema}",)
        case Enum():
            return (laid_out(f"CREATE TYPE {style(obj.name)}", f"AS ENUM ({_labels(obj)})"),)
        case Composite():
            return types.composite(obj, style)
        case Range():
            return types.range_type(obj, style)
        case Domain():
            return (types.domain(obj, style),)
        case Sequence():
            what = "UNLOGGED SEQUENCE" if obj.unlogged else "SEQUENCE"
            return (
                laid_out(
                    f"CREATE {what} {style(obj.name)}", " ".join(sequences.nondefault_options(obj))
                ),
            )
        case Table():
            return _table(obj, catalog, style, late)
        case Column():
            added = f"ADD COLUMN {_column_definition(obj, catalog, style)}"
            begin = f"ALTER TABLE {style(obj.parent.name)}"
            return (laid_out(begin, added), *not_null_not_valid(obj, style))
        case Constraint():
            begin = f"ALTER {on(obj, style)} ADD CONSTRAINT {obj.name}"
            not_valid = None if obj.valid or obj.not_enforced else "NOT VALID"
            text = laid_out(begin, *constraints.constraint(obj, style), not_valid)
            return (text,) if obj.enforced else None
        case Index():
            return (constraints.index(obj, style),) if obj.valid else None
        case Policy():
            return (_policy(obj, style),)
        case Trigger():
            text = laid_out(
                *split(style(obj.definition), "BEFORE", "AFTER", "INSTEAD", "FOR EACH", "WHEN")
            )
            return (text,)
        case TriggerState():
            return (attributes.enabled(obj, "TRIGGER", obj.enabled, style),)
        case Function() if obj.kind != "aggregate":
            return (function(obj, style),)
        case View():
            options = f" WITH ({', '.join(obj.options)})" if obj.options else ""
            text = style(obj.definition).strip().removesuffix(";")
            rows = "" if obj.populated else "\nWITH NO DATA"
            return (f"CREATE {obj.kind.upper()} {style(obj.name)}{options} AS\n{text}{rows}",)
        case Publication() | PublishedTable() | PublishedSchema() | Setting():
            return database_objects.create(obj, style)
        case Rule() | Statistics():
            return (style(obj.definition).removesuffix(";"),)
    return None


def function(obj: Function, style: SqlStyle, *, replace: bool = False) -> str:
    """Return the statement that creates or replaces a function or a procedure."""
    head, mark, body = obj.definition.rstrip("\n").partition("\nAS $")
    head = style(head).replace("\n ", "\n")
    if not replace:
        head = head.replace("CREATE OR REPLACE ", "CREATE ", 1)
    if not mark:
        return head
    tag, _, body = body.partition("$")
    body = body.removesuffix(f"${tag}$")
    if "\t" in body:
        # MigrationManager expands tabs in SQL, but a function's body must stay as it is.
        escaped = body.replace("\\", "\\\\").replace("\t", "\\t").replace("'", "''")
        return f"{head}\nAS E'{escaped}'"
    tag = "" if "$" not in body else tag
    return f"{head}\nAS ${tag}${body}${tag}$"


def _labels(obj: Enum) -> str:
    return ", ".join(map(quoted, obj.labels))


def _table(
    obj: Table, catalog: Catalog, style: SqlStyle, late: Collection[Reference]
) -> Statements | None:
    if obj.foreign:
        return None
    columns = _own_columns(obj, catalog)
    parts = [_column_definition(each, catalog, style, late) for each in columns]
    parts += _inherited_not_null(obj, catalog)
    listed = ",\n".join(f"    {part}" for part in parts)
    kind = "UNLOGGED TABLE" if obj.unlogged else "TABLE"
    after = ""
    if obj.inherits and obj.partition_bound is None:
        after += f"\nINHERITS ({', '.join(map(style, obj.inherits))})"
    if obj.partition_key:
        after += f"\nPARTITION BY {style(obj.partition_key)}"
    after += f" WITH ({', '.join(obj.options)})" if obj.options else ""
    statements = [f"CREATE {kind} {style(obj.name)} (\n{listed}\n){after}"]
    for each in columns:
        statements += not_null_not_valid(each, style)
        statements += attributes.statements(each, None, style)
        statements += () if each.comment is None else (comment(each, style),)
    return tuple(statements)


def _own_columns(obj: Table, catalog: Catalog) -> list[Column]:
    """Return the columns that a table is created with."""
    parts = catalog.by_parent.get(obj.reference, ())
    columns = [each for each in parts if isinstance(each, Column)]
    if obj.partition_bound is not None:
        # A partition gets the identity when it is attached.
        columns = [replace(each, identity=None) for each in columns]
    else:
        columns = [each for each in columns if each.declared or not each.inherited]
    return sorted(columns, key=lambda each: each.position)


def _inherited_not_null(obj: Table, catalog: Catalog) -> Iterator[str]:
    """Yield NOT NULL of inherited columns, where the table declares it itself, too."""
    for each in catalog.by_parent.get(obj.reference, ()):
        if isinstance(each, Column) and each.null_declared and not each.declared:
            yield sequences.not_null(each, each.name)


def not_null_not_valid(obj: Column, style: SqlStyle) -> Statements:
    """Return what adds NOT NULL NOT VALID; nothing for any other column."""
    if obj.null != "NOT NULL NOT VALID":
        return ()
    return (
        f"ALTER TABLE {style(obj.parent.name)} ADD {sequences.not_null(obj, obj.name)} NOT VALID",
    )


def _column_definition(
    obj: Column, catalog: Catalog, style: SqlStyle, late: Collection[Reference] = ()
) -> str:
    if sequences.is_serial(obj, catalog):
        return f"{obj.name} {sequences.SERIAL[obj.type]}"
    return column(obj, catalog, style, without_default=obj.reference in late)


def _policy(obj: Policy, style: SqlStyle) -> str:
    name = f"CREATE POLICY {obj.name} ON {style(obj.parent.name)}"
    if not obj.permissive:
        name += " AS RESTRICTIVE"
    if obj.command != "ALL":
        name += f" FOR {obj.command}"
    to, *conditions = policy_clauses(obj, style)
    return laid_out(f"{name} {to}", *conditions)


def _column_comments(obj: View, style: SqlStyle) -> Iterator[str]:
    for each in obj.comments:
        name, _, text = each.partition(": ")
        yield f"COMMENT ON COLUMN {style(obj.name)}.{name} IS {quoted(text)}"
