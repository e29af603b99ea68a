"""Recognize files of installed packages, which are not the project's to change."""

import site
import sysconfig
from pathlib import Path

from piccolo.conf.apps import AppConfig


def is_installed(app: AppConfig) -> bool:
    """Whether an app's migrations belong to an installed package."""
    return is_in_installed_package(Path(app.resolved_migrations_folder_path))


def is_in_installed_package(path: Path) -> bool:
    """Whether a file or folder is in a folder into which ``pip install`` puts packages."""
    places = {
        *(sysconfig.get_path(name) for name in ("purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
    return any(path.resolve().is_relative_to(Path(place).resolve()) for place in places)
