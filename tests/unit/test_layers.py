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
    ("serve",),
    ("accounts", "audit", "plan", "diagram", "tenancy"),
    ("engine",),
    ("tenant_transaction",),
    ("migration",),
    ("catalog",),
    ("database",),
    ("piccolo_cli",),
    ("logs",),
    ("settings",),
    ("errors", "terminal"),
)
BESIDE = {
    "tables": set(),  # the schema itself, of which no tool knows
    "piccolo_app": {"tables"},
    "piccolo_migrations": {"migration", "tables"},
    "__init__": set(),
    "__main__": {"cli"},
}
"""What is no layer, with what it may import."""
MAY_KNOW_THE_SCHEMA = {"accounts", "serve"}


def parts() -> list[str]:
    return sorted(
        path.stem
        for path in ROOT.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    )


def allowed(part: str) -> set[str]:
    if part in BESIDE:
        return BESIDE[part]
    level = next(number for number, layer in enumerate(LAYERS) if part in layer)
    below = {name for layer in LAYERS[level + 1 :] for name in layer}
    return below | ({"tables"} if part in MAY_KNOW_THE_SCHEMA else set())


def imports(part: str) -> Iterator[tuple[str, str]]:
    """Yield where something of another part is imported, and which part that is."""
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else (ROOT / part).rglob("*.py")
    for file in files:
        for module in _imported(ast.parse(file.read_text())):
            package, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if package == "partman" and other in parts() and other != part:
                yield str(file.relative_to(ROOT)), other


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


@pytest.mark.parametrize("part", parts())
def test_imports_only_what_is_below(part: str) -> None:
    upward = {(file, other) for file, other in imports(part) if other not in allowed(part)}
    assert upward == set()


def test_the_command_line_needs_nothing_of_the_service() -> None:
    program = (
        "import sys, partman.cli.app; print(*(name.partition('.')[0] for name in sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    service = {"fastapi", "jinja2", "piccolo_admin", "piccolo_api", "starlette", "uvicorn"}
    assert service & set(told.split()) == set()
