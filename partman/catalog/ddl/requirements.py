"""Derive the condition that a new constraint or unique index puts on existing rows."""

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
from partman.catalog.definitions import (
    ForeignKeyDefinition,
    IndexKey,
    UniqueIndexDefinition,
    foreign_key,
    is_check,
    unique_index,
    unique_key,
)
from partman.catalog.model import Catalog, Column, Constraint, Index, Object, Reference


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
    if is_check(obj.definition):
        return _check(obj, style)
    if referring := foreign_key(obj.definition):
        return _foreign_key(obj, referring, catalog, style)
    if key := unique_key(obj.definition):
        columns = list(key.columns)
        return _unique(obj.parent, columns, None, key.nulls_are_distinct, catalog, style)
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
    obj: Constraint, key: ForeignKeyDefinition, catalog: Catalog, style: SqlStyle
) -> RowRequirement | None:
    referring, referred = key.columns, key.referenced
    if key.matches_full:
        return None
    table, other = style(obj.parent.name), style(key.table)
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
    index = unique_index(obj.definition)
    if index is None or not all(key.is_plain for key in index.keys):
        return None
    last = split(obj.definition, "WHERE")[-1]
    where = unwrapped(style(last.removeprefix("WHERE "))) if last.startswith("WHERE ") else None
    return _unique(
        obj.parent,
        _key_texts(obj, index, style),
        where,
        index.nulls_are_distinct,
        catalog,
        style,
    )


def _key_texts(obj: Index, index: UniqueIndexDefinition, style: SqlStyle) -> list[str]:
    """Return the index's columns and expressions, without the direction of each."""
    method = style(obj.definition).partition(" USING ")[2]
    inside = in_parentheses(method[method.index("(") :])
    assert inside is not None  # the grammar has read it
    texts = items(inside[0])
    return [_key_text(key, text) for key, text in zip(index.keys, texts, strict=True)]


def _key_text(key: IndexKey, text: str) -> str:
    return key.column or text.removesuffix(key.direction)


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
