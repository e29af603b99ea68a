"""How an object that is there becomes another one, without being dropped."""

from collections.abc import Iterable
from dataclasses import fields, replace

from partman.catalog.ddl import grants, objects
from partman.catalog.ddl.objects import Statements
from partman.catalog.ddl.text import Wording, laid_out, listed
from partman.catalog.model import (
    OWNER,
    Catalog,
    Column,
    Constraint,
    Domain,
    Enum,
    Extension,
    Function,
    Object,
    Policy,
    Sequence,
    Table,
    Trigger,
    View,
)


def differing(one: Object, other: Object) -> set[str]:
    """Return the names of the attributes in which they differ."""
    return {
        attribute.name
        for attribute in fields(one)
        if attribute.compare
        and attribute.name != "parent"
        and getattr(one, attribute.name) != getattr(other, attribute.name)
    }


def is_replaced(one: Object, before: Object) -> bool:
    """Whether it has to be dropped and made again, and with it what depends on it."""
    changed = differing(one, before) - {"comment"}
    if not changed:
        return False
    match one, before:
        case Constraint(), Constraint():
            return "definition" in changed or (not one.valid and before.valid)
        case Column(), Column():
            return "generated" in changed
        case Function(), Function():
            # Whoever made it a gift cannot take it back, but drop it from a schema of his own.
            return "owner" in changed or ("definition" in changed and not _can_replace(one, before))
        case View(), View():
            return bool(changed & {"definition", "comments"})
    return "definition" in changed and one.kind in ("index", "rule", "statistics object")


def alter(
    one: Object, before: Object, catalog: Catalog, columns: Iterable[Column], say: Wording
) -> Statements | None:
    """Return what turns it into ``one``, without the owner; None if that is not known.

    ``catalog`` is the one that ``one`` is in, ``columns`` are those that there are meanwhile.
    """
    changed = differing(one, before) - {"comment", "owner"}
    done: Statements | None = ()
    if isinstance(one, Enum) and isinstance(before, Enum):
        done = _enum(one, before, catalog, columns, say) if changed else ()
    elif changed:
        done = _alter(one, before, changed, catalog, say)
    if done is None:
        return None
    return done if one.comment == before.comment else (*done, objects.comment(one, say))


def owner(one: Object, to: str, say: Wording) -> str:
    """Return the statement that gives an object another owner."""
    return f"ALTER {one.kind.upper()} {say(one.name)} OWNER TO {objects.role(to)}"


def _alter(  # noqa: C901
    one: Object, before: Object, changed: set[str], catalog: Catalog, say: Wording
) -> Statements | None:
    match one, before:
        case Constraint(), Constraint() if changed == {"valid"} and one.valid:
            return (f"ALTER {objects.on(one, say)} VALIDATE CONSTRAINT {one.name}",)
        case Policy(), Policy():
            return _policy(one, before, catalog, say)
        case Trigger(), Trigger():
            return _trigger(one, changed, catalog, say)
        case Function(), Function() if one.kind != "aggregate":
            return (objects.function(one, say, replace=True),)
        case Table(), Table():
            return _table(one, before, changed, say)
        case Column(), Column():
            return _column(one, before, changed, say)
        case Domain(), Domain():
            return _domain(one, changed, say)
        case Sequence(), Sequence() if "owned_by" not in changed:
            return (laid_out(f"ALTER SEQUENCE {say(one.name)}", objects.sequence_options(one)),)
        case View(), View() if changed == {"options"}:
            return _options(one, one.options, before.options, say)
        case Extension(), Extension():
            return (f"ALTER EXTENSION {one.name} SET SCHEMA {one.schema}",)
    return None


def _can_replace(one: Function, before: Function) -> bool:
    """Whether CREATE OR REPLACE will do: the same arguments and result, and ours to replace."""

    def signature(function: Function) -> list[str]:
        return function.definition.split("\n")[:2]

    return signature(one) == signature(before) and before.owner == OWNER == one.owner


def _policy(one: Policy, before: Policy, catalog: Catalog, say: Wording) -> Statements:
    same_kind = (one.command, one.permissive) == (before.command, before.permissive)
    loses = (before.using and not one.using) or (before.check and not one.check)
    if not same_kind or loses:
        return _again(one, catalog, say)
    is_new = [
        one.roles != before.roles,
        *(() if one.using is None else (one.using != before.using,)),
        *(() if one.check is None else (one.check != before.check,)),
    ]
    clauses = zip(objects.policy_clauses(one, say), is_new, strict=True)
    name = f"ALTER POLICY {one.name} ON {say(one.parent.name)}"
    return (laid_out(name, *(clause for clause, new in clauses if new)),)


def _trigger(one: Trigger, changed: set[str], catalog: Catalog, say: Wording) -> Statements:
    return (objects.enabled(one, say),) if changed == {"enabled"} else _again(one, catalog, say)


def _again(one: Object, catalog: Catalog, say: Wording) -> Statements:
    dropped = objects.drop(one, say)
    made = objects.create(replace(one, comment=None), catalog, say)
    assert dropped is not None
    assert made is not None
    comments = () if one.comment is None else (objects.comment(one, say),)
    return (*dropped, *made, *comments)


def _table(one: Table, before: Table, changed: set[str], say: Wording) -> Statements | None:
    known = {"row_security", "force_row_security", "options", "replica_identity", "unlogged"}
    if not changed <= known:
        return None
    statements = []
    if rules := objects.row_security(one, say, before):
        statements.append(rules)
    if "unlogged" in changed:
        how = "UNLOGGED" if one.unlogged else "LOGGED"
        statements.append(f"ALTER TABLE {say(one.name)} SET {how}")
    if "options" in changed:
        statements += _options(one, one.options, before.options, say)
    if "replica_identity" in changed:
        statements.append(replica_identity(one, say))
    return tuple(statements)


def replica_identity(one: Table, say: Wording) -> str:
    """Return the statement that says how replication tells rows apart."""
    kind, _, name = one.replica_identity.partition(" ")
    using = f"USING INDEX {name.rpartition('.')[2]}" if name else kind
    return f"ALTER TABLE {say(one.name)} REPLICA IDENTITY {using}"


def _options(
    one: Object, options: tuple[str, ...], before: tuple[str, ...], say: Wording
) -> Statements:
    names = {option.partition("=")[0] for option in options}
    unset = [name for option in before if (name := option.partition("=")[0]) not in names]
    begin = f"ALTER {one.kind.upper()} {say(one.name)}"
    statements = []
    if changed := [option for option in options if option not in before]:
        statements.append(f"{begin} SET ({', '.join(changed)})")
    if unset:
        statements.append(f"{begin} RESET ({', '.join(unset)})")
    return tuple(statements)


def _column(one: Column, before: Column, changed: set[str], say: Wording) -> Statements | None:
    if "generated" in changed or "NOT VALID" in one.null:
        return None
    begin = f"ALTER TABLE {say(one.parent.name)} ALTER COLUMN {one.name}"
    statements = [*_less(one, before, begin), *_other_type(one, changed, begin, say)]
    if "null" in changed and one.null == "NOT NULL":
        statements.append(f"{begin} SET NOT NULL")
    if one.identity and not before.identity:
        statements.append(f"{begin} ADD GENERATED {one.identity} AS IDENTITY")
    elif one.identity and "identity" in changed:
        statements.append(f"{begin} SET GENERATED {one.identity}")
    if "null" in changed and one.null == "NULL":
        statements.append(f"{begin} DROP NOT NULL")
    return tuple(statements)


def _less(one: Column, before: Column, begin: str) -> list[str]:
    """Take away what is not to be there, or would be in the way of another type."""
    statements = []
    if before.identity and not one.identity:
        statements.append(f"{begin} DROP IDENTITY")
    new_type = (one.type, one.collation) != (before.type, before.collation)
    if before.default is not None and (new_type or one.default is None):
        statements.append(f"{begin} DROP DEFAULT")
    return statements


def _other_type(one: Column, changed: set[str], begin: str, say: Wording) -> list[str]:
    statements = []
    new_type = bool(changed & {"type", "collation"})
    if new_type:
        collation = f" COLLATE {one.collation}" if one.collation else ""
        as_type = f"{begin} TYPE {say(one.type)}{collation}"
        statements.append(laid_out(as_type, f"USING {one.name}::{say(one.type)}"))
    if one.default is not None and (new_type or "default" in changed):
        statements.append(f"{begin} SET DEFAULT {say(one.default)}")
    return statements


def _domain(one: Domain, changed: set[str], say: Wording) -> Statements | None:
    if not changed <= {"not_null", "default"}:
        return None
    begin = f"ALTER DOMAIN {say(one.name)}"
    statements = []
    if "default" in changed:
        default = "DROP" if one.default is None else "SET"
        value = "" if one.default is None else f" {say(one.default)}"
        statements.append(f"{begin} {default} DEFAULT{value}")
    if "not_null" in changed:
        statements.append(f"{begin} {'SET' if one.not_null else 'DROP'} NOT NULL")
    return tuple(statements)


def _enum(
    one: Enum, before: Enum, catalog: Catalog, columns: Iterable[Column], say: Wording
) -> Statements:
    kept = [label for label in one.labels if label in before.labels]
    if kept == list(before.labels):
        return tuple(_added_labels(one, before, say))
    return _other_labels(one, catalog, columns, say)


def _added_labels(one: Enum, before: Enum, say: Wording) -> list[str]:
    there, statements = set(before.labels), []
    for position, label in enumerate(one.labels):
        if label in there:
            continue
        where = ""
        if position:
            where = f" AFTER {objects.quoted(one.labels[position - 1])}"
        elif one.labels[1:]:
            where = f" BEFORE {objects.quoted(before.labels[0])}" if before.labels else ""
        statements.append(f"ALTER TYPE {say(one.name)} ADD VALUE {objects.quoted(label)}{where}")
    return statements


def _other_labels(
    one: Enum, catalog: Catalog, columns: Iterable[Column], say: Wording
) -> Statements:
    """Make the type again, for a label cannot be dropped, and let the columns have the new one."""
    name, old = say(one.name), f"{one.name.rpartition('.')[2].strip(chr(34))}_before"
    schema = one.name.rpartition(".")[0]
    labels = listed(map(objects.quoted, one.labels))
    statements = [
        f"ALTER TYPE {name} RENAME TO {old}",
        laid_out(f"CREATE TYPE {name}", f"AS ENUM ({labels})"),
        *grants.of_new(one, catalog, say),
        *(() if one.comment is None else (objects.comment(one, say),)),
    ]
    for column in columns:
        if column.type not in (one.name, f"{one.name}[]"):
            continue
        begin = f"ALTER TABLE {say(column.parent.name)} ALTER COLUMN {column.name}"
        kind = say(column.type)
        as_text = "text[]" if kind.endswith("[]") else "text"
        if column.default is not None:
            statements.append(f"{begin} DROP DEFAULT")
        statements.append(
            laid_out(f"{begin} TYPE {kind}", f"USING {column.name}::{as_text}::{kind}")
        )
        if column.default is not None:
            statements.append(f"{begin} SET DEFAULT {say(column.default)}")
    return (*statements, f"DROP TYPE {say(f'{schema}.{old}')}")
