"""Find changes of rows whose reach is unknown: how many rows they change depends on the rows.

How many meet a condition, or are returned by a query, a database without rows does not show.
"""

from collections.abc import Collection, Iterator

from partman.grammar import ParsedStatement
from partman.grammar.names import quoted
from partman.grammar.statements import Node, nodes
from partman.plan.sql import CHANGING, parsed, within

_CONDITIONS = frozenset(("fromClause", "usingClause", "whereClause"))


def unknown_reach(sql: str, tables: Collection[str]) -> Iterator[str]:
    """Yield what the statements change with an unknown reach; ``tables`` are bare names."""
    known = set(tables)
    for statement in parsed(sql):
        yield from _changes(statement, known)
        yield from _insertions(statement, known)
        if statement.kind == "CreateTableAsStmt" and _tables_in(statement.node) & known:
            yield "creates a table of what a query returns"


def is_one_change(sql: str) -> bool:
    """Whether the string is one statement that changes rows."""
    kinds = [statement.kind for statement in parsed(sql)]
    return len(kinds) == 1 and kinds[0] in {*CHANGING, "InsertStmt"}


def _changes(statement: ParsedStatement, tables: set[str]) -> Iterator[str]:
    for kind in CHANGING:
        for change in within(statement, kind):
            table = change["relation"]["relname"]
            is_limited = kind == "MergeStmt" or bool(_CONDITIONS & change.keys())
            if table in tables and is_limited:
                yield f"changes the rows of {quoted(table)} that meet a condition"


def _insertions(statement: ParsedStatement, tables: set[str]) -> Iterator[str]:
    for insert in within(statement, "InsertStmt"):
        table = insert["relation"]["relname"]
        sources = _tables_in(insert.get("selectStmt", {}))
        if sources and ({table} | sources) & tables:
            yield f"inserts into {quoted(table)} what a query returns"
    copy = statement.node if statement.kind == "CopyStmt" else {}
    if copy.get("is_from") and copy["relation"]["relname"] in tables:
        yield f"copies rows into {quoted(copy['relation']['relname'])}"


def _tables_in(query: Node) -> set[str]:
    return {relation["relname"] for relation in nodes(query, "RangeVar")}
