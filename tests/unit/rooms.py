"""The rooms of the project, and their imports.

The tests compare the modules with this; docs/architecture.md shows it as a picture.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.environment import ROOT

# Rooms in one line do not import each other, nor rooms above them.
LAYERS = (
    ("cli",),
    ("serve.http_server",),
    ("serve.app",),
    ("serve.console", "serve.migrations"),
    ("serve.people",),
    ("serve.probes",),
    ("serve",),
    ("testing", "rehearsal", "doctor"),
    ("audit", "plan", "diagram"),
    ("migration.autogenerate", "migration.script", "distribution"),
    ("migration.verification",),
    ("operator",),
    ("engine", "asgi", "bulk"),
    ("tenant", "migration.runner"),
    ("migration.ledger",),
    ("catalog",),
    ("apps",),
    ("database",),
    ("database.embedded",),
    ("piccolo_cli",),
    ("logs",),
    ("settings",),
    ("sources", "env_file"),
    ("engine_config", "project"),
    ("isolation",),
    ("grammar", "progress"),
    ("connection_url", "deferred", "errors", "terminal", "retry", "whole_file", "wording"),
)
APP: Mapping[str, set[str]] = {
    "accounts": {
        *("cli", "database", "errors", "settings", "tables", "tenant", "terminal", "wording"),
        *("audit", "serve.console", "serve.people"),
    },
    "organizations": {"accounts", "cli", "errors", "operator", "tables", "tenant", "terminal"},
    "piccolo_app": {"apps", "tables"},
    "piccolo_migrations": {"migration", "tables"},
    "seeds": {
        *("apps", "cli", "database", "errors", "isolation", "logs", "migration.ledger"),
        *("progress", "project", "settings", "tables", "terminal"),
    },
    "tables": {"database", "errors", "isolation", "serve.people", "tenant"},
}
"""The partner-management app, and its allowed imports."""
BESIDE: Mapping[str, set[str]] = {
    **APP,
    "migration": {"migration.runner"},
    "": set(),
    "__main__": {"cli"},
    "benchmarks": {
        *("asgi", "bulk", "catalog", "database", "database.embedded", "engine", "isolation"),
        *("migration.ledger", "migration.runner"),
        *("seeds", "serve", "serve.probes", "settings", "tables", "tenant"),
    },
}
"""Rooms outside the layers, and their allowed imports."""

ROOMS = [room for layer in LAYERS for room in layer] + list(BESIDE)
_NOT_SHOWN = {"", "__main__", "benchmarks"}


@functools.cache
def modules() -> dict[str, Path]:
    """Return the file of each module; the prefix ``partman`` is omitted."""
    found = {}
    for folder in ("partman", "seeds", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__").removeprefix("partman.")] = file
    found[""] = found.pop("partman")
    return found


def room_of(module: str) -> str:
    """Return the innermost room of a module."""
    rooms = (room for room in ROOMS if module == room or module.startswith(f"{room}."))
    return max(rooms, key=len, default="")


def allowed(room: str) -> set[str]:
    """Return the rooms that a room may import."""
    if room in BESIDE:
        return BESIDE[room]
    level = next(number for number, layer in enumerate(LAYERS) if room in layer)
    return {name for layer in LAYERS[level + 1 :] for name in layer} | {""}


@functools.cache
def imported(file: Path) -> tuple[str, ...]:
    """Return the full names that a file imports, anywhere in it, also for annotations alone."""
    return tuple(_names(ast.parse(file.read_text())))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Yield the modules of a room that import another room, and that room."""
    for module, file in modules().items():
        if room_of(module) != room:
            continue
        for name in imported(file):
            package, _, rest = name.partition(".")
            other = room_of(rest) if package == "partman" else package
            if package in {"partman", "seeds", "benchmarks"} and other != room:
                yield module, other


def direct_imports() -> dict[str, set[str]]:
    """Return which rooms each room imports, without what follows from other imports."""
    direct = {
        room: {other for _, other in imports(room)} - _NOT_SHOWN
        for room in ROOMS
        if room not in _NOT_SHOWN
    }
    return {
        room: others - {far for other in others for far in _reached(other, direct)}
        for room, others in direct.items()
    }


def _reached(room: str, direct: Mapping[str, set[str]]) -> set[str]:
    return direct[room].union(*(_reached(other, direct) for other in direct[room]))
