"""Find and read the files of a project's modules without importing them."""

import ast
import importlib.util
import io
import re
import sys
import tokenize
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from itertools import accumulate
from pathlib import Path
from typing import cast

_LOADERS = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceFileLoader, SOURCE_SUFFIXES))


class NotReadableError(Exception):
    """The value is only known by running the file."""


@dataclass(frozen=True)
class Source:
    """A module with a Python file."""

    name: str
    path: Path
    is_package: bool

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the absolute name of the imported module. Raises NotReadableError."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        relative = "." * node.level + (node.module or "")
        try:
            return importlib.util.resolve_name(relative, package)
        except ImportError as error:
            raise NotReadableError(self.path) from error


def find(module: str) -> list[Source]:
    """Return the files that an import of a module runs: those of its packages, then its own.

    Raises NotReadableError for a module that is missing or not a Python file.
    """
    found: list[Source] = []
    where: list[str] | None = None
    for name in accumulate(module.split("."), "{}.{}".format):
        if "." in name and where is None:
            raise NotReadableError(name)  # the parent is not a package
        spec = _spec(name, where)
        where = spec.submodule_search_locations and list(spec.submodule_search_locations)
        if isinstance(spec.loader, SourceFileLoader) and spec.origin:
            found.append(Source(name, Path(spec.origin), where is not None))
        elif where is None or spec.origin:
            raise NotReadableError(name)
    if not found or found[-1].name != module:
        raise NotReadableError(module)
    return found


def _spec(name: str, where: list[str] | None) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name) if where is None else _spec_in_package(name, where)
    except (ImportError, ValueError) as error:
        raise NotReadableError(name) from error
    if spec is None:
        raise NotReadableError(name)
    return spec


def _spec_in_package(name: str, where: list[str]) -> ModuleSpec | None:
    """Find a module in the folders of its package, without importing the package.

    One that was imported stays what it is, as in importlib.util.find_spec().
    """
    if (spec := getattr(sys.modules.get(name), "__spec__", None)) is not None:
        return cast("ModuleSpec", spec)
    namespace = ModuleSpec(name, None, is_package=True)
    portions = namespace.submodule_search_locations = list[str]()
    for folder in where:
        spec = FileFinder(folder, *_LOADERS).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or []
    return namespace if portions else None


def read(path: Path) -> str:
    """Return a file's text, decoded as Python decodes it. Raises NotReadableError."""
    try:
        code = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(code).readline)
        return io.StringIO(code.decode(encoding), newline=None).read()
    except (OSError, SyntaxError, ValueError, LookupError) as error:
        raise NotReadableError(path) from error


def parse(text: str) -> ast.Module:
    """Parse a file's text. Raises NotReadableError."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotReadableError from error


def mentions(text: str, words: Iterable[str]) -> bool:
    """Whether a text contains one of the words, even in a comment.

    Python normalizes identifiers: a name in full-width letters, for example, is the same name.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    # An expression is only fast if it begins with a literal word; one expression for all words
    # takes several times as long.
    return any(word in text and re.search(rf"{word}(?<!\w{word})\b", text) for word in words)
