"""The file ``.env`` beside the conf module: variables for development.

It never overrides a variable of the environment, not even an empty one, and is not read where the
environment or the engine's config says what kind of database there is: a file that was copied into
an image must not turn production into development.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from partman import project
from partman.errors import SettingsError

FILE = ".env"
_ENVIRONMENT, _URL, _DEVELOPMENT = "PARTMAN_ENV", "DATABASE_URL", "development"
_READ_BEFORE = ("PICCOLO_CONF", "PARTMAN_LOG_FORMAT")
"""What decides before the file is found, or how errors in it are told."""

_from_file: dict[str, Path] = {}


def read(*, is_database_configured: bool) -> None:
    """Add the file's variables to the environment, if there is such a file, in development.

    ``is_database_configured``: whether the engine's config names the database. A missing
    ``PARTMAN_ENV`` then means production, where nothing is read. Raises SettingsError for a file
    that is not for development, or cannot be read.
    """
    stated = os.environ.get(_ENVIRONMENT)
    if stated and stated.strip().lower() != _DEVELOPMENT:
        return
    if not stated and (os.environ.get(_URL) or is_database_configured):
        return
    path = project.folder() / FILE
    if not path.is_file():
        return
    for name, value in _parsed(path).items():
        if name not in os.environ:
            os.environ[name] = value
            _from_file[name] = path


def named(variable: str) -> str:
    """Return a variable's name for a message, with the file that it comes from."""
    path = _from_file.get(variable)
    return f"{variable} in {path}" if path and variable in os.environ else variable


def _parsed(path: Path) -> Mapping[str, str]:
    from dotenv import dotenv_values  # only where there is such a file

    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}. Nothing was done.") from error
    values = {name: value for name, value in found.items() if value is not None}
    _refuse(path, values)
    return values


def _refuse(path: Path, values: Mapping[str, str]) -> None:
    stated = values.get(_ENVIRONMENT, "").strip().lower()
    if stated and stated != _DEVELOPMENT:
        raise SettingsError(
            f"{path} is for development, and says {_ENVIRONMENT}={stated}. Nothing was done. Set "
            f"{_ENVIRONMENT} in the environment instead."
        )
    if values.get(_URL) and not stated and not os.environ.get(_ENVIRONMENT):
        raise SettingsError(
            f"{path} names a database and does not say that it is for development. Nothing was "
            f"done. Add to it: {_ENVIRONMENT}={_DEVELOPMENT}"
        )
    for name in _READ_BEFORE:
        if values.get(name):
            raise SettingsError(
                f"{path} sets {name}, which is read before the file. Nothing was done. Set it in "
                "the environment."
            )
