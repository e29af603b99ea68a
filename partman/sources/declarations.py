"""Evaluate a module's assignments as its import would, without running it.

Supported are strings, lists and the like, paths relative to the file, and calls of the functions
with which Piccolo and partman declare a project. Everything else is UNKNOWN, and so is every name
that it might change.
"""

import ast
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from partman.sources.modules import NotReadableError, Source, mentions, parse


class _Unknown:
    """A value that is only known by running the module."""


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Imported:
    """An object of another module, by its full name."""

    name: str


@dataclass(frozen=True)
class Call:
    """The result of a call."""

    function: str
    arguments: Mapping[str, object]
    """By parameter name."""


DECLARING: Mapping[str, tuple[str, ...]] = {
    "piccolo.conf.apps.AppConfig": (
        "app_name", "migrations_folder_path", "table_classes", "migration_dependencies", "commands",
    ),
    "piccolo.conf.apps.AppRegistry": ("apps",),
    "partman.engine.PartmanEngine": (
        "config", "extensions", "log_queries", "log_responses", "settings", "tenancy",
    ),
    "partman.isolation.Tenancy": ("table", "column", "key", "roles", "setting"),
    "partman.apps.PartmanConfig": (),
}  # fmt: skip
"""The callables that declare a project, and the names of their positional parameters."""

_PURE: Mapping[str, Callable[..., object]] = {
    "pathlib.Path": Path,
    "os.path.join": os.path.join,
    "os.path.dirname": os.path.dirname,
    "os.path.abspath": os.path.abspath,
    "os.path.realpath": os.path.realpath,
    "os.path.normpath": os.path.normpath,
}
_METHODS = frozenset({"resolve", "absolute", "joinpath"})
"""The supported attributes of a path."""


REACHES_NAMES = (
    *("global", "globals", "locals", "vars", "sys", "exec", "eval", "setattr", "delattr"),
    *("__dict__", "__import__", "import_module", "__getattr__"),
)
"""Without these words, only plain statements change a module's names."""


_JOINED = (str, list, tuple)
"""Types whose values can be added."""


class _NotSupportedError(Exception):
    """The expression is not supported."""


# What builds scratch databases looks at the same files after each migration.
@functools.lru_cache(maxsize=512)
def declared(source: Source, text: str) -> Mapping[str, object]:
    """Return the values of a module's names after an import of its text.

    Raises NotReadableError for a module that might change a name in an unsupported way.
    """
    if mentions(text, REACHES_NAMES):
        raise NotReadableError(source.path)
    reader = _Reader(source)
    for statement in parse(text).body:
        reader.follow(statement)
    return reader.names


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, str | bytes | int | float | PurePath | Imported | None)


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.names: dict[str, object] = {"__file__": str(source.path), "__name__": source.name}
        self._kinds: Mapping[type[ast.expr], Callable[[Any], object]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.List: self._list,
            ast.Tuple: self._tuple,
            ast.Dict: self._dictionary,
            ast.Attribute: self._attribute,
            ast.JoinedStr: self._formatted,
            ast.BinOp: self._combined,
            ast.Call: self._called,
        }

    # Statements

    def follow(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(ast.Constant()) | ast.Pass():
                pass
            case ast.Import():
                self._import(statement)
            case ast.ImportFrom():
                self._import_from(statement)
            case ast.Assign():
                self._assign(statement.targets, statement.value)
            case ast.AnnAssign(target, annotation, value):
                self._assign([target] if value else [], value or annotation)
                self._forget(annotation)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                self._forget(statement)
                self.names[name] = UNKNOWN
            case _:
                raise NotReadableError(self._source.path)

    def _import(self, statement: ast.Import) -> None:
        for alias in statement.names:
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            self.names[alias.asname or bound] = Imported(bound)

    def _import_from(self, statement: ast.ImportFrom) -> None:
        module = self._source.absolute(statement)
        for alias in statement.names:
            if alias.name == "*":
                raise NotReadableError(self._source.path)
            self.names[alias.asname or alias.name] = Imported(f"{module}.{alias.name}")

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        assigned = self._value_or_unknown(value)
        for target in targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = assigned
            else:
                self._forget(target)

    def _forget(self, node: ast.AST) -> None:
        """Mark as UNKNOWN all names that an unsupported node assigns or passes on."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                assigned = not isinstance(inner.ctx, ast.Load)
                if assigned or not _is_constant(self.names.get(inner.id)):
                    self.names[inner.id] = UNKNOWN

    # Expressions

    def _value_or_unknown(self, node: ast.expr) -> object:
        try:
            return self._value(node)
        except (_NotSupportedError, ValueError, OSError, RecursionError):
            self._forget(node)
            return UNKNOWN

    def _value(self, node: ast.expr) -> object:
        evaluate = self._kinds.get(type(node))
        if evaluate is None:
            raise _NotSupportedError
        return evaluate(node)

    def _constant(self, node: ast.Constant) -> object:
        return node.value

    def _name(self, node: ast.Name) -> object:
        value = self.names.get(node.id, UNKNOWN)
        if value is UNKNOWN:
            raise _NotSupportedError
        return value

    def _list(self, node: ast.List) -> list[object]:
        return [self._value(each) for each in node.elts]

    def _tuple(self, node: ast.Tuple) -> tuple[object, ...]:
        return tuple(self._value(each) for each in node.elts)

    def _dictionary(self, node: ast.Dict) -> dict[object, object]:
        keys = [self._value(key) for key in node.keys if isinstance(key, ast.Constant)]
        if len(keys) != len(node.keys):
            raise _NotSupportedError
        return dict(zip(keys, map(self._value, node.values), strict=True))

    def _attribute(self, node: ast.Attribute) -> object:
        of = self._value(node.value)
        if isinstance(of, Imported):
            return Imported(f"{of.name}.{node.attr}")
        if isinstance(of, PurePath) and node.attr == "parent":
            return of.parent
        raise _NotSupportedError

    def _formatted(self, node: ast.JoinedStr) -> str:
        texts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue) and (part.conversion != -1 or part.format_spec):
                raise _NotSupportedError
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            texts.append(_text(self._value(inner)))
        return "".join(texts)

    def _combined(self, node: ast.BinOp) -> object:
        left: Any = self._value(node.left)
        right: Any = self._value(node.right)
        if isinstance(node.op, ast.Div) and isinstance(left, PurePath):
            return left / _text(right)
        if isinstance(node.op, ast.Add) and type(left) is type(right) and type(left) in _JOINED:
            joined: object = left + right
            return joined
        raise _NotSupportedError

    def _called(self, node: ast.Call) -> object:
        if pure := self._pure(node.func):
            if node.keywords:
                raise _NotSupportedError
            return pure(*(_text(self._value(each)) for each in node.args))
        function = self._value(node.func)
        if not isinstance(function, Imported) or function.name not in DECLARING:
            raise _NotSupportedError
        return Call(function.name, self._arguments(node, DECLARING[function.name]))

    def _pure(self, function: ast.expr) -> Callable[..., object] | None:
        """Return a function whose result depends only on its arguments, or None."""
        if isinstance(function, ast.Name) and function.id == "str" and "str" not in self.names:
            return str
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            of: object = self._value(function.value)
            if isinstance(of, PurePath):
                method: Callable[..., object] = getattr(of, function.attr)
                return method
        named = self._value(function)
        return _PURE.get(named.name) if isinstance(named, Imported) else None

    def _arguments(self, node: ast.Call, positional: tuple[str, ...]) -> dict[str, object]:
        starred = any(isinstance(each, ast.Starred) for each in node.args)
        if starred or len(node.args) > len(positional) or not all(k.arg for k in node.keywords):
            raise _NotSupportedError
        given = dict(zip(positional, node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        return {name: self._value_or_unknown(value) for name, value in given.items()}


def _text(value: object) -> str:
    if isinstance(value, str | PurePath):
        return str(value)
    raise _NotSupportedError
