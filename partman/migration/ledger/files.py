"""Which migration files there are, found without importing Piccolo.

Importing Piccolo and every migration takes several times as long as asking the database, so
whoever only wants to know what is pending reads the files instead. What is read is what
Piccolo's own tools write as literals: the apps in ``piccolo_conf.py``, the name in each
``piccolo_app.py``, the ID and the description in each migration. An app that computes them
is asked through Piccolo.
"""

import ast
import functools
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from partman.migration.ledger.checksum import checksum, digest
from partman.migration.ledger.identity import MigrationKey

_ASSIGNMENT = re.compile(r"""^(ID|DESCRIPTION)\s*(?::\s*\w+\s*)?=\s*(["'])(.*)\2\s*$""")


@dataclass(frozen=True)
class App:
    """A Piccolo app that has migrations."""

    name: str
    folder: Path


@dataclass(frozen=True)
class MigrationFile:
    """A migration as it lies on the disk."""

    app: str
    id: str
    description: str
    path: Path

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)

    @functools.cached_property
    def checksum(self) -> str:
        """The checksum of what it does; the file is read when it is first asked for."""
        return checksum(self.path)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of its bytes; the file is read when it is first asked for."""
        return digest(self.path)


class _NotLiteralError(Exception):
    """A file does not say it in a form that can be read without running it."""


def migration_files() -> list[MigrationFile]:
    """Return the migrations of all registered apps, each app's in the order they run."""
    return [file for app in registered_apps() for file in _files(app)]


def find_migration_file(key: MigrationKey) -> MigrationFile | None:
    """Return the file of one migration; None if there is none."""
    return _by_key().get(key)


def look_again() -> None:
    """Forget which files there were: one has been written, or removed."""
    _by_key.cache_clear()


@functools.cache
def _by_key() -> dict[MigrationKey, MigrationFile]:
    return {file.key: file for file in migration_files()}


def registered_apps() -> list[App]:
    """Return the apps of ``piccolo_conf.APP_REGISTRY``."""
    try:
        conf = _source(os.environ.get("PICCOLO_CONF") or "piccolo_conf")
        modules = ast.literal_eval(_keyword(conf, "AppRegistry", "apps"))
        return [_app(module) for module in modules]
    except (_NotLiteralError, ValueError):
        return _apps_according_to_piccolo()


def _files(app: App) -> list[MigrationFile]:
    files = [_read(app, path) for path in app.folder.glob("*.py") if path.name != "__init__.py"]
    return sorted((file for file in files if file.id), key=lambda file: file.id)


def _read(app: App, path: Path) -> MigrationFile:
    # Line by line: a search of the whole text tries the pattern at each of its characters.
    lines = path.read_text("utf-8").splitlines()
    matches = [_ASSIGNMENT.match(line) for line in lines if line.startswith(("ID", "DESC"))]
    found = {match[1]: match[3] for match in matches if match}
    return MigrationFile(app.name, found.get("ID", ""), found.get("DESCRIPTION", ""), path)


def _app(module: str) -> App:
    source = _source(module)
    folder = source.parent / "piccolo_migrations"
    if not folder.is_dir():
        raise _NotLiteralError
    return App(ast.literal_eval(_keyword(source, "AppConfig", "app_name")), folder)


def _source(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise _NotLiteralError
    return Path(spec.origin)


def _keyword(source: Path, function: str, name: str) -> ast.expr:
    """Return the argument ``name`` of the call to ``function`` in a file."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == function:
            for keyword in node.keywords:
                if keyword.arg == name:
                    return keyword.value
    raise _NotLiteralError


def _apps_according_to_piccolo() -> list[App]:
    from piccolo.conf.apps import Finder

    return [
        App(config.app_name, Path(config.resolved_migrations_folder_path))
        for config in Finder().get_app_configs()
    ]
