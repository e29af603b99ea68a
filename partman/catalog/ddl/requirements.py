"""Derive the condition that a new constraint or unique index puts on existing rows."""

from dataclasses import dataclass

from partman.catalog.ddl.text import SqlStyle, laid_out, listed, unwrapped
from partman.catalog.model import Catalog, Column, Constraint, Index, IndexKey, Object, Reference


@dataclass(frozen=True)
class RowRequirement:
    """A condition on rows, and a query for the rows that violate it."""

    words: str
    query: str
    """Selects the rows that violate it."""
    backwards: bool = False
    """Whether it is for the way back, and not for the way forwards."""


def row_requirement(obj: Object | None, catalog: Catalog, style: SqlStyle) -> RowRequirement | None:
    """Return the condition of a constraint or a unique index; None for other objects.

    Also None for expressions and kinds that are not supported. ``catalog`` is the catalog of
    ``obj``.
    """
    if isinstance(obj, Index):
        return _unique_index(obj, catalog, style)
    if not isinstance(obj, Constraint):
        return None
    if obj.type == "CHECK":
        return _check(obj, style)
    if obj.type == "FOREIGN KEY":
        return _foreign_key(obj, catalog, style)
    if obj.is_key and not obj.period:
        return _unique(obj.parent, list(obj.columns), None, obj.nulls_distinct, catalog, style)
    return None


def _check(obj: Constraint, style: SqlStyle) -> RowRequirement:
    assert obj.expression is not None
    condition, table = unwrapped(style(obj.expression)), style(obj.parent.name)
    return RowRequirement(
        f"{table}: {condition}", laid_out(f"SELECT * FROM {table}", f"WHERE NOT ({condition})")
    )


def _foreign_key(obj: Constraint, catalog: Catalog, style: SqlStyle) -> RowRequirement | None:
    referring, referred = obj.columns, obj.referenced_columns
    if obj.match_full or obj.period or obj.referenced_table is None:
        return None
    table, other = style(obj.parent.name), style(obj.referenced_table)
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
    if not obj.unique or not all(map(_is_plain, obj.keys)):
        return None
    where = None if obj.predicate is None else unwrapped(style(obj.predicate))
    keys = [style(key.text) for key in obj.keys]
    return _unique(obj.parent, keys, where, obj.nulls_distinct, catalog, style)


def _is_plain(key: IndexKey) -> bool:
    """Whether two values are equal in the index if they are equal to ``=``."""
    return key.operator_class is None and key.collation is None


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
