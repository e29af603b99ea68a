"""A checksum of what a migration does, whatever its comments and its formatting."""

import ast
import hashlib
from pathlib import Path

_LABELS = {"VERSION", "DESCRIPTION", "REWRITES"}
"""Assignments of a migration file that say something about it, and do nothing."""

known: dict[str, str] = {}
"""Checksums by digest. A run needs that of each file, what builds scratch databases needs it again
and again, and to parse a file takes longer than all else that a run does with it."""


def checksum(path: Path) -> str:
    """Return the checksum of a migration file, 16 hexadecimal digits.

    Equal for files that differ in comments, docstrings, blank lines, quotes, line breaks or
    description only. Raises SyntaxError.
    """
    return sums(path)[0]


def _of_source(source: bytes) -> str:
    tree = ast.parse(source)  # it knows a byte order mark, and other encodings
    # ast.dump and ast.unparse write other text in other versions of Python.
    text: list[str] = []
    _write(tree, text)
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


def digest(path: Path) -> str:
    """Return a digest of the file's bytes: equal means that the checksum is equal too."""
    return _of_bytes(path.read_bytes())


def sums(path: Path) -> tuple[str, str]:
    """Return the checksum and the digest of a file, both of the same bytes. Raises SyntaxError."""
    source = path.read_bytes()
    found = _of_bytes(source)
    if found not in known:
        known[found] = _of_source(source)
    return known[found], found


def _of_bytes(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()[:16]


def _write(node: ast.AST, text: list[str]) -> None:
    text.append(f"({type(node).__name__}")
    for name in node._fields:
        value = getattr(node, name, None)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, ast.AST):
                if not _says_nothing(item):
                    text.append(name)
                    _write(item, text)
            elif item is not None:
                text.append(f"{name}={item!r}")
    text.append(")")


def _says_nothing(node: ast.AST) -> bool:
    """Whether it is a docstring, a bare literal or a label."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in _LABELS for target in node.targets
    )
