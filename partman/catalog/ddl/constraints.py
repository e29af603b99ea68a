"""Generate the SQL of constraints and indexes from their fields."""

from partman.catalog.ddl.text import SqlStyle, laid_out, unwrapped
from partman.catalog.model import Constraint, Index, IndexKey
from partman.grammar.names import without_schema


def constraint(obj: Constraint, style: SqlStyle) -> list[str]:
    """Return a constraint's definition as a list of clauses."""
    match obj.type:
        case "CHECK":
            assert obj.expression is not None
            clauses = [f"CHECK ({unwrapped(style(obj.expression))})"]
            if obj.no_inherit:
                clauses[-1] += " NO INHERIT"
        case "FOREIGN KEY":
            clauses = _foreign_key(obj, style)
        case "EXCLUDE":
            return [style(obj.definition)]
        case _:
            nulls = "" if obj.nulls_distinct else " NULLS NOT DISTINCT"
            overlaps = " WITHOUT OVERLAPS" if obj.period else ""
            columns = f"({', '.join(obj.columns)}{overlaps})"
            clauses = [f"{obj.type}{nulls} {columns}", *included(obj), *with_options(obj)]
    clauses += timing(obj)
    return [*clauses, "NOT ENFORCED"] if obj.not_enforced else clauses


def _foreign_key(obj: Constraint, style: SqlStyle) -> list[str]:
    assert obj.referenced_table is not None
    here, there = list(obj.columns), list(obj.referenced_columns)
    if obj.period:
        here[-1], there[-1] = f"PERIOD {here[-1]}", f"PERIOD {there[-1]}"
    clauses = [
        f"FOREIGN KEY ({', '.join(here)})",
        f"REFERENCES {style(obj.referenced_table)} ({', '.join(there)})",
    ]
    if obj.match_full:
        clauses.append("MATCH FULL")
    if obj.on_update:
        clauses.append(f"ON UPDATE {obj.on_update}")
    if obj.on_delete:
        only = f" ({', '.join(obj.on_delete_columns)})" if obj.on_delete_columns else ""
        clauses.append(f"ON DELETE {obj.on_delete}{only}")
    return clauses


def included(obj: Constraint | Index) -> list[str]:
    """Return the clause of the columns that an index only stores."""
    return [f"INCLUDE ({', '.join(obj.included)})"] if obj.included else []


def with_options(obj: Constraint | Index) -> list[str]:
    """Return the clause of an index's storage parameters."""
    return [f"WITH ({', '.join(obj.options)})"] if obj.options else []


def timing(obj: Constraint) -> list[str]:
    """Return the clause that says when a constraint is checked."""
    if not obj.deferrable:
        return []
    return ["DEFERRABLE INITIALLY DEFERRED" if obj.initially_deferred else "DEFERRABLE"]


def index(obj: Index, style: SqlStyle, *, concurrently: bool = False) -> str:
    """Return the statement that creates an index."""
    words = ["CREATE", "UNIQUE"] if obj.unique else ["CREATE"]
    words += ["INDEX", "CONCURRENTLY"] if concurrently else ["INDEX"]
    using = "" if obj.method == "btree" else f" USING {obj.method}"
    keys = ", ".join(_index_key(key, style) for key in obj.keys)
    clauses = [
        f"{' '.join(words)} {without_schema(obj.name)}",
        f"ON {style(obj.parent.name)}{using} ({keys})",
        *included(obj),
    ]
    if not obj.nulls_distinct:
        clauses.append("NULLS NOT DISTINCT")
    clauses += with_options(obj)
    if obj.predicate is not None:
        clauses.append(f"WHERE {unwrapped(style(obj.predicate))}")
    return laid_out(*clauses)


def _index_key(key: IndexKey, style: SqlStyle) -> str:
    text = style(key.text)
    words = [f"({unwrapped(text)})" if text.startswith("(") else text]
    if key.collation:
        words.append(f"COLLATE {key.collation}")
    words += filter(None, (key.operator_class, key.direction))
    return " ".join(words)
