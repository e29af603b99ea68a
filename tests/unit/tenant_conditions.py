"""Which tables of a statement say which tenant's rows they are about, by PostgreSQL's grammar."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from partman.grammar.statements import Node, nodes, parse

_PARTS = ("SelectStmt", "UpdateStmt", "DeleteStmt")


def without_tenant(sql: str, tables: Collection[str], column: str) -> list[str]:
    """Return the tables, each by its alias, that a statement does not tie to one tenant.

    A table is tied by ``column = a constant``, or by ``column = column`` of one that is, where a
    condition must hold: joined by AND, in WHERE or in its own ON.
    """
    [statement] = parse(sql)
    found = []
    for level in _levels({statement.kind: statement.node}):
        names = {
            each.get("alias", {}).get("aliasname", each["relname"])
            for each in _own_tables(level)
            if each["relname"] in tables
        }
        pairs = list(_equalities(level, column))
        tied = {left for left, right in pairs if right is None}
        for _ in pairs:
            tied |= {left for left, right in pairs if right in tied}
            tied |= {right for left, right in pairs if right and left in tied}
        found.extend(sorted(names - tied))
    return found


def _levels(tree: Any) -> Iterator[Node]:
    """Yield a statement and each SELECT in it."""
    for kind in _PARTS:
        yield from nodes(tree, kind)


def _own_tables(level: Node) -> Iterator[Node]:
    if "relation" in level:
        yield level["relation"]
    yield from nodes(level.get("fromClause", []), "RangeVar")


def _equalities(level: Node, column: str) -> Iterator[tuple[str, str | None]]:
    """Yield the tables of ``table.column = …``, with the other table or None for a constant."""
    conditions = [level.get("whereClause")]
    conditions += [join.get("quals") for join in nodes(level.get("fromClause", []), "JoinExpr")]
    for condition in conditions:
        for node in _and(condition):
            expression = node.get("A_Expr", {})
            if [name["String"]["sval"] for name in expression.get("name", [])] != ["="]:
                continue
            left, right = (_table_of(expression[side], column) for side in ("lexpr", "rexpr"))
            if left and (right or {"ParamRef", "A_Const"} & expression["rexpr"].keys()):
                yield left, right


def _and(condition: Any) -> Iterator[Mapping[str, Any]]:
    if condition is None:
        return
    both = condition.get("BoolExpr", {})
    if both.get("boolop") == "AND_EXPR":
        for each in both["args"]:
            yield from _and(each)
    else:
        yield condition


def _table_of(side: Node, column: str) -> str | None:
    fields = [each["String"]["sval"] for each in side.get("ColumnRef", {}).get("fields", [])]
    return fields[-2] if fields[1:] and fields[-1] == column else None
