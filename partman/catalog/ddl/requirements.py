"""Derive the condition that a new constraint or unique index puts on existing rows."""

import re
from dataclasses import dataclass

from partman.catalog.ddl.text import (
    SqlStyle,
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
    """A condition on rows, and a query for the rows that violate it."""

    words: str
    query: str
    """Selects the rows that violate it."""


def row_requirement(obj: Object | None, catalog: Catalog, style: SqlStyle) -> RowRequirement | None:
    """Return the condition of a constraint or a unique index; None for other objects.

    Also None for expressions and kinds that are not supported. ``catalog`` is the catalog of
    ``obj``.
    """
    if isinstance(obj, Index):
        return _unique_index(obj, catalog, style)
    if not isinstance(obj, Constraint):
        return None
    if obj.definition.startswith("CHECK"):
        return _check(obj, style)
    if found := _FOREIGN_KEY.fullmatch(obj.definition):
        return _foreign_key(obj, found, catalog, style)
    if obj.definition.startswith(("UNIQUE", "PRIMARY KEY")):
        columns = obj.definition.partition("(")[2].partition(")")[0].split(", ")
        distinct = "NULLS NOT DISTINCT" not in obj.definition
        return _unique(obj.parent, columns, None, distinct, catalog, style)
    return None


def _check(obj: Constraint, style: SqlStyle) -> RowRequirement | None:
    inside = in_parentheses(style(obj.definition).removeprefix("CHECK "))
    if inside is None:
        return None
    condition, table = unwrapped(inside[0]), style(obj.parent.name)
    return RowRequirement(
        f"{table}: {condition}", laid_out(f"SELECT * FROM {table}", f"WHERE NOT ({condition})")
    )


def _foreign_key(
    obj: Constraint, found: re.Match[str], catalog: Catalog, style: SqlStyle
) -> RowRequirement | None:
    referring, referred = found[1].split(", "), found[3].split(", ")
    if "MATCH FULL" in found[4]:
        return None
    table, other = style(obj.parent.name), style(found[2])
    present = [
        f"referring.{column} IS NOT NULL"
        for column in referring
        if _can_be_null(obj.parent, column, catalog)
    ]
    same = " AND ".join(
        f"referred.{target} = referring.{source}"
        for source, target in zip(referring, referred, strict=True)
    )
    missing = f"NOT EXISTS (\n    SELECT FROM {other} AS referred\n    WHERE {same}\n)"
    return RowRequirement(
        f"{table} ({', '.join(referring)}) refers to {other} ({', '.join(referred)})",
        f"SELECT * FROM {table} AS referring\nWHERE {' AND '.join([*present, missing])}",
    )


def _unique_index(obj: Index, catalog: Catalog, style: SqlStyle) -> RowRequirement | None:
    if not obj.definition.startswith("CREATE UNIQUE"):
        return None
    method = style(obj.definition).partition(" USING ")[2]
    inside = in_parentheses(method[method.index("(") :])
    if inside is None:
        return None
    keys = items(inside[0])
    if not all(_PLAIN.fullmatch(key) or key.endswith(")") for key in keys):
        return None
    last = split(obj.definition, "WHERE")[-1]
    where = unwrapped(style(last.removeprefix("WHERE "))) if last.startswith("WHERE ") else None
    return _unique(
        obj.parent,
        [_DIRECTION.sub("", key) for key in keys],
        where,
        "NULLS NOT DISTINCT" not in obj.definition,
        catalog,
        style,
    )


def _unique(
    parent: Reference,
    keys: list[str],
    where: str | None,
    nulls_are_distinct: bool,
    catalog: Catalog,
    style: SqlStyle,
) -> RowRequirement:
    table = style(parent.name)
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
