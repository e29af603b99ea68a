"""What rows must not be there for a constraint or a unique index to hold."""

import re
from dataclasses import dataclass

from partman.catalog.ddl.text import (
    Wording,
    in_parentheses,
    items,
    laid_out,
    listed,
    split,
    unwrapped,
)
from partman.catalog.model import Catalog, Column, Constraint, Index, Object, Reference

_FOREIGN_KEY = re.compile(r"FOREIGN KEY \(([^()]*)\) REFERENCES (\S+?)\(([^()]*)\)(.*)")
_PLAIN = re.compile(r'(?:"(?:[^"]|"")+"|\w+)(?: DESC| ASC| NULLS FIRST| NULLS LAST)*')
_DIRECTION = re.compile(r"(?: DESC| ASC| NULLS FIRST| NULLS LAST)+$")


@dataclass(frozen=True)
class RowRequirement:
    """What holds from now on."""

    words: str
    query: str
    """Lists the rows that violate it."""


def rule(one: Object | None, catalog: Catalog, say: Wording) -> RowRequirement | None:
    """Return what a constraint or a unique index asks of the rows; None if nobody can say.

    ``catalog`` is the one that it is in.
    """
    if isinstance(one, Index):
        return _unique_index(one, catalog, say)
    if not isinstance(one, Constraint):
        return None
    if one.definition.startswith("CHECK"):
        return _check(one, say)
    if found := _FOREIGN_KEY.fullmatch(one.definition):
        return _foreign_key(one, found, catalog, say)
    if one.definition.startswith(("UNIQUE", "PRIMARY KEY")):
        columns = one.definition.partition("(")[2].partition(")")[0].split(", ")
        distinct = "NULLS NOT DISTINCT" not in one.definition
        return _unique(one.parent, columns, None, distinct, catalog, say)
    return None


def _check(one: Constraint, say: Wording) -> RowRequirement | None:
    inside = in_parentheses(say(one.definition).removeprefix("CHECK "))
    if inside is None:
        return None
    condition, table = unwrapped(inside[0]), say(one.parent.name)
    return RowRequirement(
        f"{table}: {condition}", laid_out(f"SELECT * FROM {table}", f"WHERE NOT ({condition})")
    )


def _foreign_key(
    one: Constraint, found: re.Match[str], catalog: Catalog, say: Wording
) -> RowRequirement | None:
    referring, referred = found[1].split(", "), found[3].split(", ")
    if "MATCH FULL" in found[4]:
        return None
    table, other = say(one.parent.name), say(found[2])
    present = [
        f"referring.{column} IS NOT NULL"
        for column in referring
        if _can_be_null(one.parent, column, catalog)
    ]
    same = " AND ".join(
        f"referred.{there} = referring.{here}"
        for here, there in zip(referring, referred, strict=True)
    )
    missing = f"NOT EXISTS (\n    SELECT FROM {other} AS referred\n    WHERE {same}\n)"
    return RowRequirement(
        f"{table} ({', '.join(referring)}) refers to {other} ({', '.join(referred)})",
        f"SELECT * FROM {table} AS referring\nWHERE {' AND '.join([*present, missing])}",
    )


def _unique_index(one: Index, catalog: Catalog, say: Wording) -> RowRequirement | None:
    if not one.definition.startswith("CREATE UNIQUE"):
        return None
    method = say(one.definition).partition(" USING ")[2]
    inside = in_parentheses(method[method.index("(") :])
    if inside is None:
        return None
    keys = items(inside[0])
    if not all(_PLAIN.fullmatch(key) or key.endswith(")") for key in keys):
        return None
    last = split(one.definition, "WHERE")[-1]
    where = unwrapped(say(last.removeprefix("WHERE "))) if last.startswith("WHERE ") else None
    return _unique(
        one.parent,
        [_DIRECTION.sub("", key) for key in keys],
        where,
        "NULLS NOT DISTINCT" not in one.definition,
        catalog,
        say,
    )


def _unique(
    parent: Reference,
    keys: list[str],
    where: str | None,
    nulls_are_distinct: bool,
    catalog: Catalog,
    say: Wording,
) -> RowRequirement:
    table = say(parent.name)
    conditions = [f"({where})"] if where else []
    if nulls_are_distinct:
        conditions += [f"{key} IS NOT NULL" for key in keys if _can_be_null(parent, key, catalog)]
    only = f"    WHERE {' AND '.join(conditions)}\n" if conditions else ""
    listing = listed(keys)
    return RowRequirement(
        f"{table} ({', '.join(keys)}) is unique" + (f" where {where}" if where else ""),
        "SELECT * FROM (\n"
        f"    SELECT *, count(*) OVER (PARTITION BY {listing}) AS times\n"
        f"    FROM {table}\n{only}"
        ") AS counted\nWHERE times > 1",
    )


def _can_be_null(parent: Reference, column: str, catalog: Catalog) -> bool:
    found = catalog.by_reference.get(Reference("column", f"{parent.name}.{column}"))
    return not isinstance(found, Column) or found.null != "NOT NULL"
