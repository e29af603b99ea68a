"""What the bodies of SQL functions use.

PostgreSQL checks a body that is a string when it creates the function, but does not record what the
body depends on.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from partman.catalog.model import Catalog, Function, Reference, Table, View
from partman.grammar import NotParsedError, parse
from partman.grammar.names import quoted, without_schema
from partman.grammar.statements import nodes

_Name = tuple[str | None, str]
"""A schema, if one is written, and a name; both as SQL."""


def used_by_bodies(catalog: Catalog) -> Mapping[Reference, frozenset[Reference]]:
    """Return all objects that the body of each function may use, by its names."""
    named: dict[_Name, set[Reference]] = defaultdict(set)
    for obj in catalog.objects:
        if isinstance(obj, Function | Table | View) or obj.kind in ("type", "domain"):
            name = _without_arguments(obj.name) if isinstance(obj, Function) else obj.name
            bare = without_schema(name)
            schema = name.removesuffix(f".{bare}")
            named[None, bare].add(obj.reference)
            named[schema, bare].add(obj.reference)
    found = {}
    for function in catalog.of(Function):
        used = {other for name in names_in_body(function.definition) for other in named[name]}
        if used:
            found[function.reference] = frozenset(used - {function.reference})
    return found


@functools.cache
def names_in_body(definition: str) -> frozenset[_Name]:
    """Return the relations, functions and types that the string body of an SQL function names.

    None for other languages, whose bodies are checked when they run.
    """
    body = _body(definition)
    if body is None:
        return frozenset()
    try:
        trees = [statement.node for statement in parse(body)]
    except NotParsedError:
        return frozenset()
    return frozenset(name for tree in trees for name in _names(tree))


def _names(tree: Any) -> Iterable[_Name]:
    # The statement itself may be the relation's, as in TABLE or INSERT INTO.
    for node in nodes(tree, "RangeVar"):
        schema = node.get("schemaname")
        yield (quoted(schema) if schema else None, quoted(node["relname"]))
    for relation in nodes(tree, "relation"):
        if "relname" in relation:
            schema = relation.get("schemaname")
            yield (quoted(schema) if schema else None, quoted(relation["relname"]))
    for kind, field in (("FuncCall", "funcname"), ("TypeName", "names"), ("typeName", "names")):
        for node in nodes(tree, kind):
            parts = [quoted(part["String"]["sval"]) for part in node.get(field, ())]
            if parts:
                yield (parts[-2] if parts[1:] else None, parts[-1])


def _body(definition: str) -> str | None:
    try:
        statements = parse(definition)
    except NotParsedError:
        return None
    options: dict[str, Any] = {}
    for option in statements[0].node.get("options", ()):
        element = option.get("DefElem", {})
        options[element.get("defname", "")] = element.get("arg", {})
    if options.get("language", {}).get("String", {}).get("sval") != "sql":
        return None
    parts = options.get("as", {}).get("List", {}).get("items", ())
    return parts[0]["String"]["sval"] if parts else None


def _without_arguments(name: str) -> str:
    """Return the name of a function: ``schema.name(integer)`` is ``schema.name``."""
    arguments = without_schema(name)
    start = arguments.index("(", arguments.index('"', 1) if arguments.startswith('"') else 0)
    return name.removesuffix(arguments) + arguments[:start]
