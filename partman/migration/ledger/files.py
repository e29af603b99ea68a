"""Which migration files there are: what Piccolo says, without importing it where that is possible.

The sources are read where they provably say what an import would (see ``partman.sources``).
Otherwise Piccolo is asked, which imports the project and its migrations.
"""

import functools
import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from partman.errors import PreflightError, UnreadableMigrationError
from partman.migration.ledger.checksum import digest, sums
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.kept_files import KeptFiles, kept_files
from partman.project import because
from partman.sources import NotReadableError
from partman.sources.migrations import read_id, read_migration
from partman.sources.project_files import read_apps


@dataclass(frozen=True)
class App:
    """A Piccolo app that has migrations."""

    name: str
    folder: str


@dataclass(frozen=True)
class MigrationFile:
    """A migration as it lies on the disk."""

    app: str
    id: str
    description: str
    path: Path
    known_digest: str | None = field(default=None, repr=False, compare=False)
    """The digest when the file was found, if it is known without reading it again."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)

    @functools.cached_property
    def checksum(self) -> str:
        """The checksum of what it does; the file is read when it is first asked for.

        Raises PreflightError for a file that Python cannot parse.
        """
        return self.read_sums()[0]

    @functools.cached_property
    def digest(self) -> str:
        """The digest of its bytes; unless it is known, the file is read when it is asked for.

        Raises PreflightError for a file that cannot be read.
        """
        if self.known_digest is not None:
            return self.known_digest
        try:
            return digest(self.path)
        except OSError as error:
            raise _unreadable(self.app, self.path, error) from error

    def read_sums(self) -> tuple[str, str]:
        """Read the file once; return the checksum and the digest of what is in it now.

        Raises PreflightError for a file that Python cannot parse.
        """
        try:
            return sums(self.path)
        except (SyntaxError, ValueError, OSError) as error:
            raise _unreadable(self.app, self.path, error) from error

    def compile(self) -> None:
        """Raise PreflightError if Python cannot compile the file; an import does the same."""
        try:
            _compile(self.path.read_bytes(), self.path)
        except (SyntaxError, ValueError, OSError) as error:
            raise _unreadable(self.app, self.path, error) from error


# As the checksum: it is asked for again and again, of the same files.
@functools.cache
def _compile(source: bytes, path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        compile(source, path, "exec", dont_inherit=True)


def migration_files() -> list[MigrationFile]:
    """Return the migrations of all apps, in the order in which Piccolo runs them.

    Raises ProjectError, and PreflightError for a file that cannot be read.
    """
    kept = kept_files()
    files = [file for app, names in _names().items() for file in _files(app, names, kept)]
    kept.save()
    return files


def find_migration_file(key: MigrationKey) -> MigrationFile | None:
    """Return the file of one migration, to be read as it is now; None if there is none."""
    if not _found:
        remember(migration_files())
    return _found.get(key)


_found: dict[MigrationKey, MigrationFile] = {}


def remember(files: Iterable[MigrationFile]) -> None:
    """Remember which files there are, so that find_migration_file() need not look for them."""
    look_again()
    _found.update((file.key, replace(file, known_digest=None)) for file in files)


def look_again() -> None:
    """Forget which files there were: one has been written, or removed."""
    _found.clear()


# Apps


def registered_apps() -> list[App]:
    """Return the project's apps, in the order in which Piccolo runs their migrations.

    Raises ProjectError.
    """
    try:
        return _apps_from_sources()
    except NotReadableError:
        return _apps_according_to_piccolo()


def _apps_from_sources() -> list[App]:
    apps = {app.module: app for app in read_apps()}
    names = {app.name: app for app in apps.values()}
    if len(names) < len(apps):
        raise NotReadableError
    needed = {name: [apps[each].name for each in app.dependencies] for name, app in names.items()}
    return [App(name, names[name].folder) for name in _sorted(needed)]


def _sorted(needed: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """Return the apps in the order in which Piccolo sorts them."""
    if len(needed) < 2:
        return needed
    from graphlib import CycleError, TopologicalSorter

    try:
        return tuple(TopologicalSorter(needed).static_order())
    except CycleError as error:
        raise NotReadableError from error


def _apps_according_to_piccolo() -> list[App]:
    from partman.apps import app_configs

    return [App(each.app_name, each.resolved_migrations_folder_path) for each in app_configs()]


# Files


def _names() -> dict[App, list[str]]:
    """Return the names of each app's files. Raises PreflightError for one that two apps have."""
    names = {app: _python_files(app) for app in registered_apps()}
    _refuse_same_name(names)
    return names


def _python_files(app: App) -> list[str]:
    """Return the names of the files that Piccolo takes for migrations."""
    try:
        names = os.listdir(app.folder)  # noqa: PTH208 -- of any text, as Piccolo does it
    except OSError as error:
        raise PreflightError(
            f"The migrations of the app {app.name} cannot be listed: {error.strerror} "
            f"({app.folder}). Nothing was run. Correct migrations_folder_path in its "
            f"piccolo_app.py, or make the folder: piccolo migrations new {app.name}"
        ) from error
    return sorted(name for name in names if name.endswith(".py") and name != "__init__.py")


def _refuse_same_name(names: Mapping[App, Sequence[str]]) -> None:
    """Refuse what Piccolo would confuse: it imports a file by its name alone."""
    seen: dict[str, App] = {}
    for app, files in names.items():
        for name in files:
            if (other := seen.setdefault(name, app)) is not app:
                raise PreflightError(
                    f"The apps {other.name} and {app.name} both have a migration file {name}, and "
                    "Piccolo would run one in place of the other. Nothing was run. Rename one of "
                    "them; its ID stays the same."
                )


def import_migrations() -> None:
    """Import all migrations, as Piccolo does when it runs one.

    Raises what migration_files() does, and PreflightError for a file that cannot be imported.
    """
    for app, names in _names().items():
        _according_to_piccolo(app, names)


def _files(app: App, names: Sequence[str], kept: KeptFiles) -> list[MigrationFile]:
    try:
        _refuse_known_elsewhere(app, names)
        files = _from_sources(app, names, kept)
    except NotReadableError:
        files = _according_to_piccolo(app, names)
    return sorted((file for file in files if file.id), key=lambda file: file.id)


def _from_sources(app: App, names: Sequence[str], kept: KeptFiles) -> list[MigrationFile]:
    folder, files = Path(app.folder), []
    for name in names:
        found, description, digest_now = kept.facts(f"{app.folder}{os.sep}{name}", read_migration)
        files.append(MigrationFile(app.name, found, description, folder / name, digest_now))
    return files


def _module_name(file: str) -> str:
    return file.split(".py")[0]  # as Piccolo does it


def _refuse_known_elsewhere(app: App, names: Sequence[str]) -> None:
    """Raise NotReadableError if an import of a name might give another module than the folder's."""
    elsewhere = [_modules_in(each) for each in sys.path if each != app.folder]
    for name in names:
        module = _module_name(name)
        if f"{module}.py" != name or "." in module or module in sys.stdlib_module_names:
            raise NotReadableError(name)
        if any(module in known for known in elsewhere):
            raise NotReadableError(name)


@functools.cache
def _modules_in(folder: str) -> frozenset[str]:
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208 -- hundreds, at every start
        return frozenset(name.partition(".")[0] for name in names)
    except OSError:  # a zip file, or nothing
        return frozenset()


def _according_to_piccolo(app: App, names: Sequence[str]) -> list[MigrationFile]:
    from piccolo.apps.migrations.commands.base import BaseMigrationManager

    path = [*sys.path]
    try:
        BaseMigrationManager().get_migration_modules(app.folder)
    except (Exception, SystemExit) as error:
        unreadable = _first_unreadable(app, names, error)
        raise unreadable from unreadable.__cause__
    finally:
        sys.path[:] = path
    return [file for name in names if (file := _imported(app, name)) is not None]


def _imported(app: App, name: str) -> MigrationFile | None:
    """Return a migration as Piccolo has imported it; None for a file that is none."""
    module, path = sys.modules[_module_name(name)], Path(app.folder, f"{_module_name(name)}.py")
    if module.__file__ != str(path) and not _is_same_file(path, module.__file__):
        raise PreflightError(
            f"Piccolo does not import {Path(app.folder, name)}, but {module.__name__} "
            f"({module.__file__}). Nothing was run. Rename the file; its ID stays the same."
        )
    found, description = getattr(module, "ID", None), getattr(module, "DESCRIPTION", None)
    if not found or name != path.name:
        return None
    if not isinstance(found, str):
        raise PreflightError(
            f"The ID in {path} is {found!r}, which is not a text. Nothing was run. Quote it."
        )
    return MigrationFile(app.name, found, str(description or ""), path)


def _is_same_file(path: Path, other: str | None) -> bool:
    return other is not None and path.exists() and path.samefile(other)


def _first_unreadable(
    app: App, names: Sequence[str], error: BaseException
) -> UnreadableMigrationError:
    """Return the error that names the file that Piccolo could not import, with its cause."""
    path = [*sys.path]
    sys.path.insert(0, app.folder)
    try:
        for name in names:
            try:
                importlib.import_module(_module_name(name))
            except (Exception, SystemExit) as again:
                return _with_cause(_unreadable(app.name, Path(app.folder, name), again), again)
    finally:
        sys.path[:] = path
    return _with_cause(_unreadable(app.name, Path(app.folder), error), error)


def _with_cause(
    unreadable: UnreadableMigrationError, error: BaseException
) -> UnreadableMigrationError:
    unreadable.__cause__ = error
    return unreadable


def _unreadable(app: str, path: Path, error: BaseException) -> UnreadableMigrationError:
    return UnreadableMigrationError(app, path, because(error, path))


def unreadable_migration(error: UnreadableMigrationError) -> MigrationKey | None:
    """Return which migration cannot be read, if its ID can; else None."""
    try:
        found = read_id(error.path)
    except OSError:
        return None
    return MigrationKey(error.app, found) if found else None
