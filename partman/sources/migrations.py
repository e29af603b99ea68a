"""The ID and the description of a migration, as its file says them."""

import re
from dataclasses import dataclass
from pathlib import Path

from partman.sources.declarations import REACHES_NAMES, declared
from partman.sources.modules import NotReadableError, Source, mentions, read

_BORDER = "\nasync def forwards("

_NO_FUNCTION = re.compile(r"\n(?!(?:async )?def [a-z_]|[ \t#)\n]|\Z)")
"""Before a line that may be a statement of the module, other than the definition of a function."""


@dataclass(frozen=True)
class MigrationSource:
    """What a migration's file says about itself."""

    id: str
    """Empty: Piccolo does not take it for a migration."""
    description: str


def read_migration(path: Path) -> MigrationSource:
    """Return what a migration's module says once it is imported. Raises NotReadableError.

    What comes before ``forwards`` is parsed. What follows is several times as much, and is usually
    functions only, which change no name of the module: then it need not be.
    """
    text = read(path)
    head = _head(text)
    names = declared(Source(path.stem, path, is_package=False), text if head is None else head)
    found, described = names.get("ID", ""), names.get("DESCRIPTION", "")
    if not isinstance(found, str) or not isinstance(described, str):
        raise NotReadableError(path)
    return MigrationSource(found, described)


def _head(text: str) -> str | None:
    """Return what comes before the migration's functions; None if something else is among them.

    That the head can be parsed shows that the border is not inside of a text or of brackets.
    """
    head, border, rest = text.partition(_BORDER)
    if not border or "\f" in text or "\0" in text or ":=" in rest:
        return None
    if mentions(rest, REACHES_NAMES) or _NO_FUNCTION.search(rest):
        return None
    return head + "\n"
