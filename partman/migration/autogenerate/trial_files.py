"""Put migration files on trial where only this process's Piccolo finds them.

They are written to a temporary folder, next to links to the app's own files; for the duration of a
block that is the app's folder. If the process is killed, nothing is left in the project.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from piccolo.conf.apps import AppConfig

from partman.errors import PartmanError
from partman.migration.ledger.files import look_again
from partman.whole_file import new_file


@dataclass(frozen=True)
class File:
    """A migration file."""

    app: str
    id: str
    description: str
    online: bool
    path: Path
    text: str


@contextlib.contextmanager
def on_trial(apps: Mapping[str, AppConfig], files: Sequence[File]) -> Iterator[None]:
    """Let Piccolo find the files for the duration of a block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_fresh_imports(files))
        top = Path(stack.enter_context(TemporaryDirectory(prefix="partman_new_")))
        for number, app in enumerate(dict.fromkeys(file.app for file in files)):
            folder = top / str(number)
            folder.mkdir()
            _link(Path(apps[app].resolved_migrations_folder_path), folder)
            stack.enter_context(_migrating_from(apps[app], folder))
        for file in files:
            folder = Path(apps[file.app].resolved_migrations_folder_path)
            (folder / file.path.name).write_text(file.text, "utf-8")
        look_again()
        yield


def create_folder(app: AppConfig) -> None:
    """Create an app's migrations folder if it is missing, as Piccolo does."""
    folder = Path(app.resolved_migrations_folder_path)
    with _refusing_to_write():
        if not folder.is_dir():
            folder.mkdir(parents=True)
            (folder / "__init__.py").touch()


def keep(files: Iterable[File]) -> None:
    """Write the files to the apps' folders, all or none. Raises PartmanError.

    A process that is killed between two of them leaves the earlier ones, which need no later one.
    """
    written: list[Path] = []
    try:
        with _refusing_to_write():
            for file in files:
                with new_file(file.path) as opened:
                    opened.write(file.text.encode())
                written.append(file.path)
    except BaseException:
        for path in written:
            path.unlink()
        raise


@contextlib.contextmanager
def _refusing_to_write() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PartmanError(
            f"A migration file cannot be written: {error}. No file was written. Make the folder "
            "writable and run the command again."
        ) from error


def _link(source: Path, folder: Path) -> None:
    for path in source.glob("*.py"):
        (folder / path.name).symlink_to(path.absolute())


@contextlib.contextmanager
def _migrating_from(app: AppConfig, folder: Path) -> Iterator[None]:
    own = app.migrations_folder_path
    app.migrations_folder_path = folder
    try:
        yield
    finally:
        app.migrations_folder_path = own


@contextlib.contextmanager
def _fresh_imports(files: Iterable[File]) -> Iterator[None]:
    """Import the files anew: another trial may have used the same file names."""
    path, no_bytecode = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, no_bytecode
        for file in files:
            sys.modules.pop(file.path.stem, None)
        importlib.invalidate_caches()
        look_again()
