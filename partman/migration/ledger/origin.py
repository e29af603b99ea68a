"""Who runs migrations in this process, where, and from which revision of the project."""

import functools
import getpass
import os
import platform
from pathlib import Path

import piccolo

from partman import __version__, project

COLUMNS = ("os_user", "host", "partman_version", "piccolo_version", "revision")
"""The columns of the history for what who() returns."""


@functools.cache
def who() -> tuple[str, str, str, str, str | None]:
    """Return the values of COLUMNS for this process. Asks git for the revision, once."""
    return (_os_user(), platform.node(), __version__, piccolo.__VERSION__, revision())


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return str(os.getuid())


def revision() -> str | None:
    """Return the git revision: of the project, or as the image that we run in was told."""
    return os.environ.get("PARTMAN_REVISION") or _described(project.folder())


@functools.cache
def _described(folder: Path) -> str | None:
    """Return the revision of a folder, which a process asks once: its code stays the same."""
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return None
    import shutil  # and with it, compression
    import subprocess

    if not shutil.which("git"):
        return None
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    asked = subprocess.run(git, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None
