"""Find the project that partman works on, from the current folder as ``piccolo`` does."""

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from partman.errors import NoProjectError, PartmanError, ProjectError


def enter() -> None:
    """Put the current folder first on the import path.

    Raises ProjectError if the folder has been removed.
    """
    try:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 -- text, as Piccolo does it
    except FileNotFoundError as error:
        raise NoProjectError(
            "The current folder no longer exists. Nothing was done. Change to the folder of the "
            "project."
        ) from error


def conf_module() -> str:
    """Return the name of the module that has ``DB`` and ``APP_REGISTRY``."""
    return os.environ.get("PICCOLO_CONF") or "piccolo_conf"


def folder() -> Path:
    """Return the folder of the conf module or, if it is in a package, of its top package.

    Without such a module, return the current folder. Imports nothing.
    """
    try:
        spec = importlib.util.find_spec(conf_module().partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return Path.cwd()
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).absolute().parent
    return Path(spec.origin).absolute().parent if spec.origin else Path.cwd()


def import_conf() -> ModuleType:
    """Return the conf module. Raises NoProjectError if there is none, and ProjectError."""
    name = conf_module()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise NoProjectError(_missing(name)) from error
        raise not_importable(name, error) from error
    except PartmanError:
        raise
    except (Exception, SystemExit) as error:
        raise not_importable(name, error) from error


def not_importable(what: str, error: BaseException) -> ProjectError:
    """Return the error for a part of the project that cannot be imported, with its place."""
    return ProjectError(
        f"Cannot import {what}: {because(error)}. Nothing was done. Correct it and run the "
        "command again."
    )


def because(error: BaseException, file: Path | None = None) -> str:
    """Return an import's error in one line, with its line number, and its file if another one."""
    said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    where, line = _place(error)
    if where is None or line is None:
        return reason
    return f"{reason} ({'' if where == str(file) else f'{where}, '}line {line})"


def _place(error: BaseException) -> tuple[str | None, int | None]:
    """Return the file and line that raised the error, preferably in the project."""
    if isinstance(error, SyntaxError):
        return error.filename, error.lineno
    frames: list[tuple[str, int | None]] = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename != __file__
    ]
    here = str(folder())
    ours = [at for at in frames if at[0].startswith(here) and "site-packages" not in at[0]]
    places = ours or frames
    return places[-1] if places else (None, None)


def _missing(name: str) -> str:
    if os.environ.get("PICCOLO_CONF"):
        return (
            f"PICCOLO_CONF is {name!r}, but there is no such module. Nothing was done. Set it to "
            "the module that has DB and APP_REGISTRY, or unset it to use piccolo_conf."
        )
    return (
        f"There is no piccolo_conf.py in {Path.cwd()}: this is not the folder of a project. "
        "Nothing was done. Change to the project's folder, or set PICCOLO_CONF to its module. "
        "Create a new project with: piccolo project new"
    )
