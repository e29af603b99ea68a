"""What was read of the migration files, kept in ``.partman/`` as long as they are the same.

A file counts as the same while size, times of change, inode and device are. Nobody can set its
``ctime``; so a file that was written, replaced or given another time is read again. It has a
limited resolution, though: what was changed less than ``_UNSURE`` seconds before it was read could
change once more without looking different, so it is not kept.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from partman import sources
from partman.migration.ledger import checksum
from partman.migration.ledger.checksum import digest, known
from partman.settings import data_directory
from partman.sources import migrations
from partman.sources.migrations import MigrationSource

NAME = "migration-files.json"
_FEWEST = 50
"""Fewer files are read as fast as this file."""
_UNSURE = 2.0
"""Seconds; the coarsest clock of a file system in use is that of FAT."""

Signature = tuple[int, ...]


_Kept = tuple[Signature, str, str, str, str | None]
"""The signature of a file, its Facts, and its checksum if it is known."""


class Facts(NamedTuple):
    """What is known of a migration file."""

    id: str
    description: str
    digest: str | None
    """None if it was changed while it was read."""


class KeptFiles:
    """What is known of a project's migration files; with many of them also the next time."""

    def __init__(self, path: Path, before: dict[str, _Kept] | None = None) -> None:
        """``before`` is what this process has found last, in place of what is kept."""
        self._path = path
        self._readers = _readers()
        self._before = self._load() if before is None else before
        self.now: dict[str, _Kept] = {}

    def facts(self, name: str, read: Callable[[Path], MigrationSource]) -> Facts:
        """Return what ``read`` says of a file, and may have said before. Raises what it raises.

        ``name`` is its path as text: to make it from a Path takes as long as the rest.
        """
        before = signature(name)
        kept = self._before.get(name)
        if kept is None or kept[0] != before:
            path, began = Path(name), time.time()
            found = read(path)
            digest_now = _digest(path, before)
            if before is None or digest_now is None or began - changed(before) < _UNSURE:
                return Facts(found.id, found.description, digest_now)
            kept = before, found.id, found.description, digest_now, None
        checksum_now = known.get(kept[3])
        self.now[name] = kept if kept[4] == checksum_now else (*kept[:4], checksum_now)
        return Facts(*kept[1:4])

    def save(self) -> None:
        """Keep it. What cannot be written is read again the next time."""
        if len(self.now) < _FEWEST or self.now == self._before:
            return
        text = json.dumps([self._readers, self.now])
        with contextlib.suppress(OSError):
            _make(self._path.parent)
            # One name, so that killed commands leave no more than one. Two at once may mix what
            # they write, which the digest tells.
            new = self._path.with_suffix(".new")
            new.write_text(f"{_sha256(text)}\n{text}")
            new.replace(self._path)

    def _load(self) -> dict[str, _Kept]:
        try:
            was, _, text = self._path.read_text().partition("\n")
        except (OSError, ValueError):
            return {}
        if _sha256(text) != was:
            return {}  # not the whole of what was written
        readers, kept = json.loads(text)
        if readers != self._readers:
            return {}
        files = {name: (tuple(found), *facts) for name, (found, *facts) in kept.items()}
        known.update((found, its) for *_, found, its in files.values() if its)
        return files


def _make(folder: Path) -> None:
    """Make the folder, which is not for version control, unless there is one."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        (folder / ".gitignore").write_text("*\n")


_last: dict[Path, dict[str, _Kept]] = {}
"""What this process has found, by where it is kept: a command asks for the files many times."""


def kept_files() -> KeptFiles:
    """Return what is known of the project's files."""
    path = data_directory() / NAME
    found = KeptFiles(path, _last.get(path))
    _last[path] = found.now
    return found


def signature(path: str) -> Signature | None:
    """Return what is another for another file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- thousands, at every start
    except OSError:
        return None
    size, changed = found.st_size, (found.st_mtime_ns, found.st_ctime_ns)
    return (size, *changed, found.st_ino, found.st_dev)


def changed(found: Signature) -> float:
    """Return when a file was changed last, in any way."""
    return max(found[1], found[2]) / 1e9


def _readers() -> list[object]:
    """Return what is another where files may be read differently: the code that reads them."""
    folder = Path(sources.__file__).parent
    others = map(Path, (checksum.__file__, migrations.__file__, __file__))
    code = [*sorted(folder.glob("*.py")), *others]
    # As it comes back from JSON.
    return [sys.version, [list(signature(str(each)) or ()) for each in code]]


def _digest(path: Path, before: Signature | None) -> str | None:
    """Return the digest of a file; None if it was changed since."""
    try:
        found = digest(path)
    except OSError:
        return None
    return found if signature(str(path)) == before else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
