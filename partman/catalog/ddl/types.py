"""Generate the statements for domains, composite types and range types."""

from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.text import SqlStyle, laid_out
from partman.catalog.model import Composite, Domain, Range
from partman.grammar.names import literal


def domain(obj: Domain, style: SqlStyle) -> str:
    """Return the statement that creates a domain."""
    words = [f"CREATE DOMAIN {style(obj.name)} AS {style(obj.type)}"]
    if obj.collation:
        words.append(f"COLLATE {obj.collation}")
    if obj.default is not None:
        words.append(f"DEFAULT {style(obj.default)}")
    if obj.not_null:
        words.append(_not_null(obj))
    return laid_out(*words)


def alter_domain(obj: Domain, before: Domain, changed: set[str], style: SqlStyle) -> Statements:
    """Return the statements that alter a domain whose type stays."""
    begin = f"ALTER DOMAIN {style(obj.name)}"
    statements = []
    if "default" in changed:
        default = "DROP" if obj.default is None else "SET"
        value = "" if obj.default is None else f" {style(obj.default)}"
        statements.append(f"{begin} {default} DEFAULT{value}")
    if "not_null" in changed:
        how = f"ADD {_not_null(obj)}" if obj.null_name else "SET NOT NULL"
        statements.append(f"{begin} {how if obj.not_null else 'DROP NOT NULL'}")
    elif "null_name" in changed:
        statements.append(
            f"{begin} RENAME CONSTRAINT {before.null_constraint} TO {obj.null_constraint}"
        )
    return tuple(statements)


def composite(obj: Composite, style: SqlStyle) -> Statements:
    """Return the statements that create a composite type."""
    attributes = style(", ".join(obj.attributes))
    return (
        laid_out(f"CREATE TYPE {style(obj.name)}", f"AS ({attributes})"),
        *_comments(obj, (), style),
    )


def is_in_order(obj: Composite, before: Composite) -> bool:
    """Whether the order is right once attributes are dropped, and others added at the end."""
    kept = [name for name in before.names if name in obj.names]
    added = [name for name in obj.names if name not in before.names]
    return [*kept, *added] == list(obj.names)


def alter_composite(obj: Composite, before: Composite, style: SqlStyle) -> Statements:
    """Return the statements that alter a composite type whose attributes are in order."""
    begin = f"ALTER TYPE {style(obj.name)}"
    after, so_far = (dict(zip(each.names, each.attributes, strict=True)) for each in (obj, before))
    kept = [name for name in so_far if name in after]
    added = [name for name in after if name not in so_far]
    statements = [f"{begin} DROP ATTRIBUTE {name}" for name in so_far if name not in after]
    for name in kept:
        if after[name] != so_far[name]:
            kind = style(after[name].removeprefix(f"{name} "))
            statements.append(f"{begin} ALTER ATTRIBUTE {name} TYPE {kind}")
    statements += [f"{begin} ADD ATTRIBUTE {style(after[name])}" for name in added]
    left = tuple(each for each in before.comments if each[0] in kept)
    return (*statements, *_comments(obj, left, style))


def range_type(obj: Range, style: SqlStyle) -> Statements | None:
    """Return the statement that creates a range type; None with a function for canonical values.

    Such a function needs the type, and the type needs the function.
    """
    if obj.canonical:
        return None
    options = {
        "SUBTYPE": obj.subtype,
        "SUBTYPE_OPCLASS": obj.operator_class,
        "COLLATION": obj.collation,
        "SUBTYPE_DIFF": obj.difference,
        "MULTIRANGE_TYPE_NAME": obj.multirange,
    }
    listed = ", ".join(f"{name} = {style(value)}" for name, value in options.items() if value)
    return (laid_out(f"CREATE TYPE {style(obj.name)}", f"AS RANGE ({listed})"),)


def _not_null(obj: Domain) -> str:
    return f"CONSTRAINT {obj.null_name} NOT NULL" if obj.null_name else "NOT NULL"


def _comments(obj: Composite, before: tuple[tuple[str, str], ...], style: SqlStyle) -> list[str]:
    after, so_far = dict(obj.comments), dict(before)
    return [
        f"COMMENT ON COLUMN {style(obj.name)}.{name} IS "
        + (literal(after[name]) if name in after else "NULL")
        for name in {**so_far, **after}
        if after.get(name) != so_far.get(name)
    ]
