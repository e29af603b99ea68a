"""Check whether importing the project's modules could change the environment variables."""

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from partman import project
from partman.sources.modules import NotReadableError, Source, find, mentions, parse, read

_TRUSTED = frozenset({"partman", "piccolo", "piccolo_admin", "piccolo_api"})
"""Packages, besides the standard library, whose import changes nothing that other modules see."""

_REACHES_ENVIRONMENT = (
    *("environ", "environb", "putenv", "unsetenv", "ctypes", "exec", "eval", "globals", "vars"),
    *("__dict__", "__builtins__", "__import__", "import_module", "exec_module", "load_module"),
    *("run_module", "run_path"),
)
"""A module without these words cannot change the environment variables if it only imports such
modules, Piccolo and the standard library.
"""


def refuse_side_effects(modules: Iterable[str]) -> None:
    """Raise NotReadableError if importing the modules might change the environment variables.

    All modules of the project that they import are checked as well.
    """
    left, seen = list(modules), set[str]()
    while left:
        module = left.pop()
        if module in seen or _is_trusted(module):
            continue
        for source in find(module):
            if source.name not in seen:
                seen.add(source.name)
                left += _harmless_imports(source)
        seen.add(module)


def _is_trusted(module: str) -> bool:
    top = module.partition(".")[0]
    if top in _TRUSTED:
        return True
    return top in sys.stdlib_module_names and not any(
        (folder / f"{top}.py").exists() or (folder / top).is_dir()
        for folder in {project.folder(), Path.cwd()}
    )


def _harmless_imports(source: Source) -> Iterator[str]:
    """Yield the imported modules. Raises NotReadableError if the module uses the environment."""
    text = read(source.path)
    if mentions(text, _REACHES_ENVIRONMENT):
        raise NotReadableError(source.path)
    for node in ast.walk(parse(text)):
        match node:
            case ast.Import(aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(_, aliases):
                yield (module := source.absolute(node))
                if not _is_trusted(module):
                    yield from filter(_is_module, (f"{module}.{alias.name}" for alias in aliases))
            case ast.Call(ast.Name("table_finder")):
                yield from _modules_to_search(node, source)


def _modules_to_search(call: ast.Call, source: Source) -> list[str]:
    """Return the modules that Piccolo's ``table_finder`` imports. Raises NotReadableError."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "modules"]
    match [*call.args[:1], *named]:
        case [ast.List(elements)] if all(isinstance(each, ast.Constant) for each in elements):
            names = [str(each.value) for each in elements if isinstance(each, ast.Constant)]
        case _:
            raise NotReadableError(source.path)
    package = source.name.rpartition(".")[0]
    return [importlib.util.resolve_name(name, package) for name in names]


def _is_module(name: str) -> bool:
    """Whether the name is a module; otherwise it is an attribute of one."""
    try:
        return bool(find(name))
    except NotReadableError:
        return False
