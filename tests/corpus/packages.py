"""Fetch packages by name with the registries' own clients; what could not be had says why.

They are unpacked in ``.partman/corpus``, one folder each, and kept there for the next run. Nothing
of them is installed or committed.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.environment import ROOT, script

_CACHE = ROOT / ".partman" / "corpus"
_PYPI = ROOT / "requirements" / "corpus.txt"
_DEADLINE = 300
"""Seconds that a client may take; a registry that cannot be reached does not hold up the tests."""


class NotToBeHadError(Exception):
    """A package could not be fetched, for this reason."""


@dataclass(frozen=True)
class Debian:
    """A package of this machine's Debian release, unpacked and not installed."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} (Debian)"

    def folder(self) -> Path:
        return _once(f"debian/{self.name}", self._fetch)

    def _fetch(self, folder: Path) -> None:
        download = ["apt-get", "download", "-q", self.name]
        try:
            _run(download, folder)
        except NotToBeHadError:
            # The machine's lists of packages may be older than the packages.
            _run(["apt-get", "update", "-q"], folder)
            _run(download, folder)
        [archive] = folder.glob("*.deb")
        _run(["dpkg-deb", "-x", archive.name, "."], folder)
        archive.unlink()


@dataclass(frozen=True)
class PyPI:
    """A package of those that ``requirements/corpus.txt`` pins; all are unpacked in one folder."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} (PyPI)"

    def folder(self) -> Path:
        return _once("pypi", self._fetch, _PYPI.read_text())

    def _fetch(self, folder: Path) -> None:
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        where = ["--python", sys.executable, "--target", "."]
        _run([script("uv"), "pip", "install", *where, *options, "-r", str(_PYPI)], folder)


@dataclass(frozen=True)
class Npm:
    """A package of the npm registry; its scripts do not run."""

    name: str
    version: str
    needs: bool = False
    """Whether the packages that it needs are fetched too."""

    def __str__(self) -> str:
        return f"{self.name} (npm)"

    def folder(self) -> Path:
        fetch = self._install if self.needs else self._fetch
        return _once(f"npm/{self.name.replace('/', '-')}", fetch, f"{self.version} {self.needs}")

    def _fetch(self, folder: Path) -> None:
        """Unpack it, in the folder ``package``."""
        _run(["npm", "pack", "--silent", f"{self.name}@{self.version}"], folder)
        [archive] = folder.glob("*.tgz")
        _run(["tar", "-xf", archive.name], folder)
        archive.unlink()

    def _install(self, folder: Path) -> None:
        """Unpack it and what it needs, in the folder ``node_modules``."""
        (folder / "package.json").write_text("{}")
        options = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        _run(["npm", "install", *options, f"{self.name}@{self.version}"], folder)


Package = Debian | PyPI | Npm


def _once(name: str, fetch: Callable[[Path], None], version: str = "") -> Path:
    """Return the folder of a package; fetch it unless this version is there already."""
    folder = _CACHE / name
    done = folder.with_name(f"{folder.name}.done")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not done.exists() or done.read_text() != version:
            done.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fetch(folder)
            done.write_text(version)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], folder: Path) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotToBeHadError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NotToBeHadError(f"{command[0]} took more than {_DEADLINE} seconds") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise NotToBeHadError(f"{Path(command[0]).name}: {said[-1]}")
