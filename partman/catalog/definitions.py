"""What a constraint or an index is, read from its definition by PostgreSQL's grammar."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from partman.grammar import NotParsedError, parse
from partman.grammar.names import quoted
from partman.grammar.statements import Node, table_name

_ACTIONS = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT", "r": "RESTRICT"}


@dataclass(frozen=True)
class ForeignKeyDefinition:
    """A foreign key; names are SQL."""

    columns: tuple[str, ...]
    table: str
    referenced: tuple[str, ...]
    on_delete: str | None
    """None: NO ACTION."""
    matches_full: bool


@dataclass(frozen=True)
class KeyDefinition:
    """A primary or unique key that a unique index could make; names are SQL."""

    is_primary: bool
    columns: tuple[str, ...]
    included: tuple[str, ...]
    nulls_are_distinct: bool
    timing: str | None
    """DEFERRABLE and INITIALLY DEFERRED; None: neither."""


@dataclass(frozen=True)
class IndexKey:
    """A column or an expression of a unique index."""

    column: str | None
    """None: an expression."""
    direction: str
    """How the definition ends: DESC, NULLS FIRST, NULLS LAST."""
    is_plain: bool
    """Whether it has the usual collation and operators."""


@dataclass(frozen=True)
class UniqueIndexDefinition:
    """A unique index."""

    keys: tuple[IndexKey, ...]
    nulls_are_distinct: bool


def is_check(definition: str) -> bool:
    """Whether a constraint is a check."""
    return _constraint(definition).get("contype") == "CONSTR_CHECK"


def foreign_key(definition: str) -> ForeignKeyDefinition | None:
    """Return the foreign key that a constraint is; None for other constraints."""
    node = _constraint(definition)
    if node.get("contype") != "CONSTR_FOREIGN":
        return None
    return ForeignKeyDefinition(
        _names(node["fk_attrs"]),
        table_name(node["pktable"]),
        _names(node.get("pk_attrs", ())),
        _ACTIONS.get(node["fk_del_action"]),
        node["fk_matchtype"] == "f",
    )


def unique_key(definition: str) -> KeyDefinition | None:
    """Return the key that a constraint is; None for others, and for one WITHOUT OVERLAPS."""
    node = _constraint(definition)
    is_primary = node.get("contype") == "CONSTR_PRIMARY"
    if not is_primary and node.get("contype") != "CONSTR_UNIQUE":
        return None
    if node.get("without_overlaps"):
        return None
    timing = "DEFERRABLE INITIALLY DEFERRED" if node.get("initdeferred") else "DEFERRABLE"
    return KeyDefinition(
        is_primary,
        _names(node["keys"]),
        _names(node.get("including", ())),
        not node.get("nulls_not_distinct", False),
        timing if node.get("deferrable") else None,
    )


def unique_index(definition: str) -> UniqueIndexDefinition | None:
    """Return the unique index that a CREATE INDEX makes; None for other indexes."""
    node = _only(definition, "IndexStmt")
    if not node.get("unique"):
        return None
    keys = tuple(_index_key(each["IndexElem"]) for each in node["indexParams"])
    return UniqueIndexDefinition(keys, not node.get("nulls_not_distinct", False))


def _index_key(node: Node) -> IndexKey:
    words = []
    if node["ordering"] != "SORTBY_DEFAULT":
        words.append(node["ordering"].removeprefix("SORTBY_"))
    if node["nulls_ordering"] != "SORTBY_NULLS_DEFAULT":
        words.append(f"NULLS {node['nulls_ordering'].removeprefix('SORTBY_NULLS_')}")
    name = node.get("name")
    return IndexKey(
        quoted(name) if name else None,
        "".join(f" {word}" for word in words),
        "opclass" not in node and "collation" not in node,
    )


def _constraint(definition: str) -> Node:
    table = _only(f"ALTER TABLE a ADD CONSTRAINT a {definition}", "AlterTableStmt")
    for command in table.get("cmds", ()):
        found: Node = command["AlterTableCmd"]["def"]["Constraint"]
        return found
    return {}


# Asked again and again of the same definitions, as when objects are sorted.
@functools.cache
def _only(sql: str, kind: str) -> Mapping[str, Any]:
    """Return the node of a single statement of a kind; an empty one for anything else."""
    try:
        statements = parse(sql)
    except NotParsedError:
        return {}
    return statements[0].node if [each.kind for each in statements] == [kind] else {}


def _names(nodes: Any) -> tuple[str, ...]:
    return tuple(quoted(node["String"]["sval"]) for node in nodes)
