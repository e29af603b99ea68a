"""Write a file that is there as a whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without hard links says, such as FAT and folders shared with a machine."""


@contextmanager
def new_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write a file that appears under its name at the end of the block, and on the disk.

    What a killed process had written so far has another name, and the next one removes it. ``mode``
    as for open(2). Raises FileExistsError, which leaves the other file as it is, and OSError.
    """
    partial = path.with_name(f"{path.name}.partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink()


def _give_name(partial: Path, path: Path) -> None:
    try:
        # Unlike a rename, it never replaces a file that has come since.
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        partial.rename(path)
