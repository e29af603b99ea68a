"""Read a migration's ID and description from its file."""

import ast
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from partman.sources.declarations import REACHES_NAMES, declared
from partman.sources.modules import NotReadableError, Source, mentions, read

_BORDER = "\nasync def forwards("

_NO_FUNCTION = re.compile(r"\n(?!(?:async )?def [a-z_]|[ \t#)\n]|\Z)")
"""Before a line that may be a module-level statement other than a function definition."""


@dataclass(frozen=True)
class MigrationSource:
    """The ID and description in a migration file."""

    id: str
    """Empty if Piccolo does not recognize the file as a migration."""
    description: str


def read_migration(path: Path) -> MigrationSource:
    """Return a migration's ID and description as an import gives them. Raises NotReadableError.

    The text before ``forwards`` is parsed. The rest is several times as long and usually contains
    only functions, which change no name of the module; then it is not parsed.
    """
    text = read(path)
    head = _head(text)
    names = declared(Source(path.stem, path, is_package=False), text if head is None else head)
    found, described = names.get("ID", ""), names.get("DESCRIPTION", "")
    if not isinstance(found, str) or not isinstance(described, str):
        raise NotReadableError(path)
    return MigrationSource(found, described)


def read_id(path: Path) -> str | None:
    """Return the ID that a file gives itself in a line of its own, though it cannot be imported."""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("ID"):
            with contextlib.suppress(SyntaxError, ValueError):
                match ast.parse(line).body:
                    case [ast.Assign([ast.Name("ID")], ast.Constant(str(found)))] if found:
                        return found
    return None


def _head(text: str) -> str | None:
    """Return the text before the migration's functions; None if they contain other statements.

    If the text before them can be parsed, its end is not inside a string or brackets.
    """
    head, border, rest = text.partition(_BORDER)
    if not border or "\f" in text or "\0" in text or ":=" in rest:
        return None
    if mentions(rest, REACHES_NAMES) or _NO_FUNCTION.search(rest):
        return None
    return head + "\n"
