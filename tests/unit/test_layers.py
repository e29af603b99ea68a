"""Nothing imports upward, and nobody pays for the service who does not start it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import partman

ROOT = Path(partman.__file__).parent

# What stands in one line knows nothing of its neighbours, nor of what is above it.
LAYERS = (
    ("cli",),
    ("serve.http_server",),
    ("serve.app",),
    ("serve.console",),
    ("serve.people",),
    ("serve.probes",),
    ("serve",),
    ("audit", "plan", "diagram"),
    ("migration.autogenerate",),
    ("migration.verification",),
    ("engine",),
    ("tenant", "migration.runner"),
    ("migration.ledger",),
    ("catalog",),
    ("apps",),
    ("database",),
    ("database.embedded",),
    ("piccolo_cli",),
    ("logs",),
    ("settings",),
    ("sources",),
    ("engine_config", "project"),
    ("isolation",),
    ("errors", "terminal", "retry", "wording"),
)
BESIDE = {
    "tables": {"database", "errors", "isolation", "serve.people", "tenant"},
    "piccolo_app": {"apps", "tables"},
    "piccolo_migrations": {"migration", "tables"},
    "accounts": {
        *("cli", "database", "errors", "settings", "tables", "wording"),
        *("audit", "serve.console", "serve.people"),
    },
    "migration": {"migration.runner"},
    "": set(),
    "__main__": {"cli"},
}
"""What is no layer, with what it may import."""

ROOMS = [room for layer in LAYERS for room in layer] + list(BESIDE)


def room_of(module: str) -> str:
    """The innermost room that a module is in."""
    rooms = (room for room in ROOMS if module == room or module.startswith(f"{room}."))
    return max(rooms, key=len, default="")


def allowed(room: str) -> set[str]:
    if room in BESIDE:
        return BESIDE[room]
    level = next(number for number, layer in enumerate(LAYERS) if room in layer)
    below = {name for layer in LAYERS[level + 1 :] for name in layer}
    return below | {"migration", ""}


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Yield where something of another room is imported, and which room that is."""
    for file in ROOT.rglob("*.py"):
        path = file.relative_to(ROOT)
        if room_of(".".join(path.with_suffix("").parts)) != room:
            continue
        for module in _imported(ast.parse(file.read_text())):
            package, _, rest = module.partition(".")
            if package == "seeds":
                yield str(path), package
            if package == "partman" and (other := room_of(rest)) != room:
                yield str(path), other


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # names in annotations tie nothing together
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_what_is_below(room: str) -> None:
    upward = {(file, other) for file, other in imports(room) if other not in allowed(room)}
    assert upward == set()


def test_nothing_imports_what_only_a_checkout_has() -> None:
    modules = {
        module.partition(".")[0]
        for file in ROOT.rglob("*.py")
        for module in _imported(ast.parse(file.read_text()))
    }
    assert modules.isdisjoint({"benchmarks", "piccolo_conf", "seeds", "tests"})


def test_the_command_line_needs_nothing_of_the_service() -> None:
    program = (
        "import sys, partman.cli.app; print(*(name.partition('.')[0] for name in sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    service = {"fastapi", "jinja2", "piccolo_admin", "piccolo_api", "starlette", "uvicorn"}
    assert service & set(told.split()) == set()
