"""Find table classes that no app has registered: neither Piccolo nor partman sees them."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from piccolo.table import Table

from partman.apps import app_configs, app_modules
from partman.migration.autogenerate.installed_packages import is_installed

_TABLE = ("piccolo.table", "Table")
_NAMED = (b"piccolo", b"Table")
"""What a file has that imports it, however it does that."""


def unregistered_classes() -> list[str]:
    """Return the names of the table classes in the packages of the project's apps.

    Modules that nothing imports are read, not imported. A class that others derive from is none.
    """
    registered = {table for config in app_configs() for table in config.table_classes}
    own = [module for module in app_modules() if not is_installed(module.APP_CONFIG)]
    packages = {_package(module) for module in own}
    loaded = {
        f"{table.__module__}.{table.__qualname__}"
        for table in _subclasses(Table)
        if table not in registered
        and not table.__subclasses__()
        and any(f"{table.__module__}.".startswith(f"{package}.") for package in packages)
    }
    return sorted(loaded | {name for module in own for name in _not_imported(module)})


def _package(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[0] or module.__name__


def _subclasses(cls: type[Table]) -> Iterator[type[Table]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _not_imported(app: ModuleType) -> Iterator[str]:
    """Yield the table classes in the modules of an app's package that are not imported."""
    package = app.__name__.rpartition(".")[0]
    if not package or app.__file__ is None:
        return
    folder = Path(app.__file__).parent
    migrations = Path(app.APP_CONFIG.resolved_migrations_folder_path).resolve()
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        module = ".".join([package, *(part for part in parts if part != "__init__")])
        if module not in sys.modules and not path.resolve().is_relative_to(migrations):
            yield from (f"{module}.{name}" for name in _declared(path))


def _declared(path: Path) -> Iterator[str]:
    """Yield the classes of a file whose base is Piccolo's Table."""
    try:
        source = path.read_bytes()
        # Parsing takes most of the time, and most files of a package name neither.
        if not all(name in source for name in _NAMED):
            return
        statements = ast.parse(source).body
    except (OSError, SyntaxError, ValueError):
        return
    names = set(_names_of_table(statements))
    for each in statements:
        if isinstance(each, ast.ClassDef) and names & {ast.unparse(base) for base in each.bases}:
            yield each.name


def _names_of_table(statements: Iterable[ast.stmt]) -> Iterator[str]:
    module, name = _TABLE
    for each in statements:
        if isinstance(each, ast.ImportFrom) and each.module == module:
            yield from (alias.asname or name for alias in each.names if alias.name == name)
        elif isinstance(each, ast.Import):
            for alias in each.names:
                if alias.name == module:
                    yield f"{alias.asname or module}.{name}"
