"""Nothing imports upward, and nobody pays for the service who does not start it."""

import ast
import graphlib
import subprocess
import sys

import pytest

from tests.unit.rooms import ROOMS, allowed, imported, imports, modules, room_of


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_lower_rooms(room: str) -> None:
    upward = {(module, other) for module, other in imports(room) if other not in allowed(room)}
    assert upward == set()


def test_every_module_is_in_a_room_and_every_room_has_one() -> None:
    """What is in none could import anything, and be imported by anything."""
    assert [module for module in modules() if module and not room_of(module)] == []
    assert {room_of(module) for module in modules()} == set(ROOMS)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """What is imported for annotations alone counts, too."""
    found = modules()
    graph = {module: set[str]() for module in found}
    for module, file in found.items():
        for name in imported(file):
            other = name.removeprefix("partman.")
            while other not in found and "." in other:
                other = other.rpartition(".")[0]
            if other in found and other != module:
                graph[module].add(other)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_command_runs_its_coroutine_the_same_way() -> None:
    """So that Ctrl-C ends all of them alike, and at once."""
    calls = {
        module
        for module, file in modules().items()
        if not module.startswith("benchmarks")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.run"
    }
    # The other one is a thread's own loop.
    assert calls == {"terminal", "tenant.synchronous"}


def test_nothing_imports_modules_missing_from_the_wheel() -> None:
    names = {name.partition(".")[0] for file in modules().values() for name in imported(file)}
    assert names.isdisjoint({"piccolo_conf", "tests"})


def test_the_command_line_needs_nothing_of_the_service() -> None:
    program = (
        "import sys, partman.cli.app; print(*(name.partition('.')[0] for name in sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    service = {"fastapi", "jinja2", "piccolo_api", "starlette", "uvicorn"}
    assert service & set(output.split()) == set()
