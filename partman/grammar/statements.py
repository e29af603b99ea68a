"""Statements, divided and named by PostgreSQL's grammar."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from partman.grammar.libpg_query import parse_tree
from partman.grammar.names import quoted

Node = Mapping[str, Any]
"""A node of the parse tree: its fields, without those that are false, zero or empty."""


_PLACES = frozenset(
    {"list_end", "list_start", "location", "name_location", "rexpr_list_end", "rexpr_list_start"}
)
"""Fields of nodes that say where in the string they are."""


class NotParsedError(Exception):
    """The grammar rejects a string: a syntax error, or syntax of a newer PostgreSQL."""


@dataclass(frozen=True)
class ParsedStatement:
    """One statement of a string."""

    kind: str
    """The type of its node in PostgreSQL's parser, such as ``IndexStmt``."""
    node: Node
    text: str
    """Its part of the string, with its semicolon and the comments before it."""


def parse(sql: str) -> tuple[ParsedStatement, ...]:
    """Return the statements of a string; their texts one after the other are the string.

    Raises NotParsedError, NotInstalledError.
    """
    encoded = sql.encode(errors="surrogatepass")
    # The library takes a C string; the server refuses a null byte, too.
    trees = None if b"\0" in encoded else parse_tree(encoded)
    if trees is None:
        raise NotParsedError(sql)
    statements, begin = [], 0
    for tree in trees:
        length = tree.get("stmt_len", 0)
        # Without a length the statement goes to the end of the string.
        end = tree.get("stmt_location", 0) + length + 1 if length else len(encoded)
        if tree is trees[-1]:
            end = len(encoded)
        [(kind, node)] = tree["stmt"].items()
        text = encoded[begin:end].decode(errors="surrogatepass")
        statements.append(ParsedStatement(kind, node, text))
        begin = end
    return tuple(statements)


def same_meaning(one: str, other: str) -> bool:
    """Whether two strings are the same statements, and differ only in what is between the words."""
    try:
        return _without_places(parse(one)) == _without_places(parse(other))
    except NotParsedError:
        return False


def _without_places(statements: Iterable[ParsedStatement]) -> list[object]:
    return [(each.kind, _without_place(each.node)) for each in statements]


def _without_place(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _without_place(tree[name]) for name in tree if name not in _PLACES}
    return [*map(_without_place, tree)] if isinstance(tree, list) else tree


def table_name(relation: Node) -> str:
    """Return the name of a ``RangeVar``, with its schema if the statement has one, as SQL."""
    names = (relation.get("schemaname"), relation["relname"])
    return ".".join(quoted(name) for name in names if name)


def dotted_name(parts: Iterable[Node]) -> str:
    """Return a name that is a list of ``String`` nodes, as SQL."""
    return ".".join(quoted(part["String"]["sval"]) for part in parts)


def nodes(tree: Any, kind: str) -> Iterator[Node]:
    """Yield all nodes of a kind that are in a parse tree."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if name == kind:
                yield value
            yield from nodes(value, kind)
    elif isinstance(tree, list):
        for each in tree:
            yield from nodes(each, kind)
