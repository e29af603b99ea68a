"""How each kind of object is made, and dropped."""

import re
from collections.abc import Iterator

from partman.catalog.ddl.text import Wording, laid_out, split, unwrapped
from partman.catalog.model import (
    ITS_OWNER,
    OWNER,
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
    Schema,
    Sequence,
    Table,
    Trigger,
    View,
)

Statements = tuple[str, ...]

ENABLED = {"origin": "ENABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
"""How ALTER TABLE says when a trigger fires. Whatever else it is, it is DISABLE."""

_SERIAL = {"integer": "serial", "bigint": "bigserial", "smallint": "smallserial"}
_LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def create(one: Object, catalog: Catalog, say: Wording) -> Statements | None:
    """Return what makes an object, with its comment; None if that is not known.

    Without its owner, and what may be done with it.
    """
    made = _create(one, catalog, say)
    if made is None:
        return None
    comments = [] if one.comment is None else [comment(one, say)]
    if isinstance(one, View):
        comments += _column_comments(one, say)
    return (*made, *comments)


def drop(one: Object, say: Wording) -> Statements | None:
    """Return what drops an object; None if that is not known."""
    match one:
        case Constraint():
            return (f"ALTER {on(one, say)} DROP CONSTRAINT {one.name}",)
        case Column():
            return (f"ALTER {on(one, say)} DROP COLUMN {one.name}",)
        case Policy() | Trigger():
            return (f"DROP {one.kind.upper()} {one.name} ON {say(one.parent.name)}",)
        case Other() if one.definition and one.kind == "rule":
            return (f"DROP RULE {say(one.name)}",)
        case Other() if one.definition and one.kind == "statistics object":
            return (f"DROP STATISTICS {say(one.name)}",)
        case Other():
            return None
    if one.kind == "aggregate":
        return None
    return (f"DROP {one.kind.upper()} {say(one.name)}",)


def comment(one: Object, say: Wording) -> str:
    """Return the statement that gives an object its comment."""
    text = "NULL" if one.comment is None else quoted(one.comment)
    match one:
        case Column():
            name = f"{say(one.parent.name)}.{one.name}"
        case Constraint() if one.parent.kind == "domain":
            name = f"{one.name} ON DOMAIN {say(one.parent.name)}"
        case Constraint() | Policy() | Trigger():
            name = f"{one.name} ON {say(one.parent.name)}"
        case _:
            name = say(one.name)
    kind = "STATISTICS" if one.kind == "statistics object" else one.kind.upper()
    return laid_out(f"COMMENT ON {kind} {name}", f"IS {text}")


def column(one: Column, say: Wording) -> str:
    """Return a column as CREATE TABLE says it."""
    words = [one.name, say(one.type)]
    if one.collation:
        words.append(f"COLLATE {one.collation}")
    if one.default is not None:
        words.append(f"DEFAULT {say(one.default)}")
    if one.generated:
        expression, _, how = one.generated.rpartition(" ")
        words.append(f"GENERATED ALWAYS AS ({unwrapped(say(expression))}) {how}")
    if one.identity:
        words.append(f"GENERATED {one.identity} AS IDENTITY")
    if one.null == "NOT NULL":
        words.append("NOT NULL")
    return " ".join(words)


def constraint(one: Constraint, say: Wording) -> list[str]:
    """Return a constraint's definition in clauses."""
    definition = say(one.definition)
    if check := re.fullmatch(r"CHECK \((.*)\)( NO INHERIT)?", definition, re.DOTALL):
        return [f"CHECK ({unwrapped(check[1])}){check[2] or ''}"]
    return split(definition, "REFERENCES", "ON DELETE", "WHERE", "INCLUDE")


def index(one: Index, say: Wording, *, concurrently: bool = False) -> str:
    """Return the statement that makes an index."""
    definition = say(one.definition).replace(" USING btree (", " (", 1)
    if concurrently:
        definition = definition.replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    *clauses, last = split(definition, "ON", "INCLUDE", "WHERE", "NULLS NOT", "WITH")
    if last.startswith("WHERE ") and not say.literally:
        last = f"WHERE {unwrapped(last.removeprefix('WHERE '))}"
    return laid_out(*clauses, last)


def on(one: Object, say: Wording) -> str:
    """Return what a column or a constraint belongs to, as ALTER says it."""
    assert one.parent is not None
    return f"{one.parent.kind.upper()} {say(one.parent.name)}"


def role(name: str) -> str:
    """Return a role as GRANT takes it."""
    return "CURRENT_USER" if name in (OWNER, ITS_OWNER) else name


def quoted(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def is_serial(one: Column, catalog: Catalog) -> bool:
    """Whether serial says all about the column, its sequence and its default."""
    name = f"{one.parent.name}_{one.name}_seq"
    sequence = next((each for each in catalog.of(Sequence) if each.name == name), None)
    if sequence is None or one.type not in _SERIAL or one.null != "NOT NULL":
        return False
    return (
        one.default == f"nextval('{name}'::regclass)"
        and sequence.owned_by == one.reference.name
        and sequence.comment is None
        and _sequence(sequence) == []
        and sequence.type == one.type
    )


def enabled(one: Trigger, say: Wording) -> str:
    """Return the statement that says when a trigger fires."""
    how = ENABLED.get(one.enabled, "DISABLE")
    return f"ALTER TABLE {say(one.parent.name)} {how} TRIGGER {one.name}"


def policy_clauses(one: Policy, say: Wording) -> list[str]:
    """Return what ALTER POLICY can say."""
    clauses = [f"TO {', '.join(map(role, one.roles))}"]
    if one.using is not None:
        clauses.append(f"USING ({unwrapped(say(one.using))})")
    if one.check is not None:
        clauses.append(f"WITH CHECK ({unwrapped(say(one.check))})")
    return clauses


def sequence_options(one: Sequence) -> str:
    """Return everything that there is to say of a sequence."""
    return (
        f"AS {one.type} START {one.start} INCREMENT {one.increment} MINVALUE {one.minimum}"
        f" MAXVALUE {one.maximum} CACHE {one.cache} {'CYCLE' if one.cycle else 'NO CYCLE'}"
    )


def row_security(one: Table, say: Wording, before: Table | None = None) -> str | None:
    """Return the statement that sets what is different from before; None if nothing is."""
    was = (before.row_security, before.force_row_security) if before else (False, False)
    words = []
    if one.row_security != was[0]:
        words.append(f"{'ENABLE' if one.row_security else 'DISABLE'} ROW LEVEL SECURITY")
    if one.force_row_security != was[1]:
        words.append(f"{'' if one.force_row_security else 'NO '}FORCE ROW LEVEL SECURITY")
    return f"ALTER TABLE {say(one.name)} {', '.join(words)}" if words else None


def _create(one: Object, catalog: Catalog, say: Wording) -> Statements | None:  # noqa: C901
    match one:
        case Schema():
            return (f"CREATE SCHEMA {one.name}",)
        case Extension():
            return (f"CREATE EXTENSION {one.name} SCHEMA {one.schema}",)
        case Enum():
            return (laid_out(f"CREATE TYPE {say(one.name)}", f"AS ENUM ({_labels(one)})"),)
        case Composite():
            return (
                laid_out(f"CREATE TYPE {say(one.name)}", f"AS ({say(', '.join(one.attributes))})"),
            )
        case Domain():
            return (_domain(one, say),)
        case Sequence() if one.owned_by is None:
            return (laid_out(f"CREATE SEQUENCE {say(one.name)}", " ".join(_sequence(one))),)
        case Table():
            return _table(one, catalog, say)
        case Column() if "NOT VALID" not in one.null:
            added = f"ADD COLUMN {_of_table(one, catalog, say)}"
            return (laid_out(f"ALTER TABLE {say(one.parent.name)}", added),)
        case Constraint():
            begin = f"ALTER {on(one, say)} ADD CONSTRAINT {one.name}"
            text = laid_out(begin, *constraint(one, say), None if one.valid else "NOT VALID")
            return (text,) if one.enforced else None
        case Index():
            return (index(one, say),) if one.valid else None
        case Policy():
            return (_policy(one, say),)
        case Trigger():
            text = laid_out(*split(say(one.definition), "BEFORE|AFTER|INSTEAD", "FOR EACH", "WHEN"))
            return (text,) if one.enabled == "origin" else (text, enabled(one, say))
        case Function() if one.kind != "aggregate":
            return (function(one, say),)
        case View():
            options = f" WITH ({', '.join(one.options)})" if one.options else ""
            text = say(one.definition).strip().removesuffix(";")
            return (f"CREATE {one.kind.upper()} {say(one.name)}{options} AS\n{text}",)
        case Other() if one.definition and one.kind in ("rule", "statistics object"):
            return (say(one.definition).removesuffix(";"),)
    return None


def function(one: Function, say: Wording, *, replace: bool = False) -> str:
    """Return the statement that makes a function or a procedure, or replaces it."""
    head, mark, body = one.definition.rstrip("\n").partition("\nAS $")
    head = say(head).replace("\n ", "\n")
    if not replace:
        head = head.replace("CREATE OR REPLACE ", "CREATE ", 1)
    if not mark:
        return head
    tag, _, body = body.partition("$")
    body = body.removesuffix(f"${tag}$")
    if "\t" in body:
        # A migration's text is cleaned of tabs, and a function keeps its own word for word.
        escaped = body.replace("\\", "\\\\").replace("\t", "\\t").replace("'", "''")
        return f"{head}\nAS E'{escaped}'"
    tag = "" if "$" not in body else tag
    return f"{head}\nAS ${tag}${body}${tag}$"


def _labels(one: Enum) -> str:
    return ", ".join(map(quoted, one.labels))


def _domain(one: Domain, say: Wording) -> str:
    words = [f"CREATE DOMAIN {say(one.name)} AS {say(one.type)}"]
    if one.collation:
        words.append(f"COLLATE {one.collation}")
    if one.default is not None:
        words.append(f"DEFAULT {say(one.default)}")
    if one.not_null:
        words.append("NOT NULL")
    return laid_out(*words)


def _sequence(one: Sequence) -> list[str]:
    """Return what is not as it usually is."""
    largest = _LIMITS[one.type]
    up = one.increment > 0
    minimum, maximum = (1, largest) if up else (-largest - 1, -1)
    usual = {
        f"AS {one.type}": one.type == "bigint" or one.owned_by is not None,
        f"INCREMENT {one.increment}": one.increment == 1,
        f"MINVALUE {one.minimum}": one.minimum == minimum,
        f"MAXVALUE {one.maximum}": one.maximum == maximum,
        f"START {one.start}": one.start == (one.minimum if up else one.maximum),
        f"CACHE {one.cache}": one.cache == 1,
        "CYCLE": not one.cycle,
    }
    return [words for words, is_usual in usual.items() if not is_usual]


def _table(one: Table, catalog: Catalog, say: Wording) -> Statements | None:
    if one.inherits or one.partition_key or one.partition_bound or one.foreign:
        return None
    columns = sorted(
        (each for each in catalog.of(Column) if each.parent == one.reference),
        key=lambda each: each.position,
    )
    listed = ",\n".join(f"    {_of_table(each, catalog, say)}" for each in columns)
    kind = "UNLOGGED TABLE" if one.unlogged else "TABLE"
    options = f" WITH ({', '.join(one.options)})" if one.options else ""
    made = [f"CREATE {kind} {say(one.name)} (\n{listed}\n){options}"]
    made += [comment(each, say) for each in columns if each.comment is not None]
    return tuple(made)


def _of_table(one: Column, catalog: Catalog, say: Wording) -> str:
    if is_serial(one, catalog):
        return f"{one.name} {_SERIAL[one.type]}"
    return column(one, say)


def _policy(one: Policy, say: Wording) -> str:
    name = f"CREATE POLICY {one.name} ON {say(one.parent.name)}"
    if not one.permissive:
        name += " AS RESTRICTIVE"
    if one.command != "ALL":
        name += f" FOR {one.command}"
    to, *conditions = policy_clauses(one, say)
    return laid_out(f"{name} {to}", *conditions)


def _column_comments(one: View, say: Wording) -> Iterator[str]:
    for each in one.comments:
        name, _, text = each.partition(": ")
        yield f"COMMENT ON COLUMN {say(one.name)}.{name} IS {quoted(text)}"
