"""What a build reads beside the database: modules, files and folders.

Whether a value that was built earlier is still right is decided by these. The project's modules may
read files when they are imported, so this module has to be imported before them: it notes what is
read from then on. It does not see what a C library reads by itself, nor whether a file was only
looked for.
"""

import functools
import os
import re
import site
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import _bootstrap, _bootstrap_external
from pathlib import Path
from types import FrameType
from typing import Any

import partman
from partman.migration.ledger.kept_files import Signature, changed, signature

_MARGIN = 2.0
"""Seconds in which two changes of a file may get the same time."""


def _process_start() -> float:
    """Return when this process was started, as far as the system tells; else the present."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        age = 0
    return time.time() - age


# Modules may have been imported before this one, and before the process was forked.
_STARTED = min(time.time(), _process_start())

_PROCESSES = ("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
_FOLDERS = ("os.listdir", "os.scandir")
_COMMAND_LINE = re.compile(r"/proc/\d+/cmdline")
"""By which partman sees whether the embedded server runs. Its times are those of the first look."""
_EVENTS: frozenset[str] | None = frozenset((*_PROCESSES, *_FOLDERS, "open", "socket.connect"))
# The code of a frame tells whose it is, too, but Python audits each time that it is asked for.
_IMPORTER, _LOADERS = vars(_bootstrap), vars(_bootstrap_external)


@dataclass
class Inputs:
    """What was read during a build, or while the project was imported."""

    program: Path | None = None
    """The one program that may be run: it is known to read the database only."""
    servers: int = 0
    """The number of servers that may be asked."""
    paths: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    ran_a_process: bool = False

    @property
    def are_known(self) -> bool:
        """Whether the paths tell everything: no other program was run, no other server asked."""
        return not self.ran_a_process and len(self.addresses) <= self.servers

    def signatures(self) -> Mapping[str, Signature | None] | None:
        """Return the signature of each file that this process has loaded or the build has read.

        None if these do not tell everything, or a file may have been changed after this process had
        read it.
        """
        imported = files_of_this_process()
        if imported is None or not self.are_known:
            return None
        found = {path: signature(path) for path in {*self.paths, *imported}}
        newest = max(changed(each) for each in found.values() if each)
        return found if newest < _STARTED - _MARGIN else None

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take in an audit event of Python."""
        match event, arguments:
            case "open", (path, *_) if path == os.devnull or _COMMAND_LINE.fullmatch(str(path)):
                pass
            case "open", (str() | bytes() as path, *_):
                self.paths.add(_absolute(path))
            case _, (str() | bytes() | None as path, *_) if event in _FOLDERS:
                self.paths.add(_absolute(path or "."))
            case "subprocess.Popen", (program, *_) if str(program) == str(self.program):
                pass
            case "socket.connect", (_, address):
                self.addresses.add(repr(address))
            case _ if event in _PROCESSES:
                self.ran_a_process = True


def _absolute(path: str | bytes) -> str:
    # Not resolved: a link may be replaced.
    return str(Path(os.fsdecode(path)).absolute())


def files_of_this_process() -> set[str] | None:
    """Return the files of the imported modules, and those that they have read meanwhile.

    None if these do not tell everything.
    """
    if unwatched or not _imports.are_known:
        return None
    return {*_modules(), *_imports.paths}


def _modules() -> set[str]:
    modules = list(sys.modules.values())
    # Not getattr(), which would load what is only loaded when it is used.
    found = (getattr(module, "__dict__", {}).get("__file__") for module in modules)
    return {file for file in found if file}


@contextmanager
def watched(program: Path | None) -> Iterator[Inputs]:
    """Note what is read during the block; ``program`` may be run, and one server asked."""
    inputs = Inputs(program, servers=1)
    _watching.append(inputs)
    try:
        yield inputs
    finally:
        _watching.remove(inputs)


_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        sysconfig.get_path("scripts"),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
)
_OURS = f"{Path(partman.__file__).parent}{os.sep}"


@functools.cache
def _is_of_a_library(file: str) -> bool:
    return file.startswith(_LIBRARIES) or file.startswith("<")


unwatched = {file for file in _modules() if not file.startswith((*_LIBRARIES, _OURS))}
"""Modules of the project that were imported before this one: nobody knows what they have read."""

_imports = Inputs()
_watching: list[Inputs] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _EVENTS is None or event not in _EVENTS:  # None: the interpreter is ending
        return
    # With this frame itself in a variable, it would live on, and with it what the callers have.
    caller = sys._getframe(1)  # noqa: SLF001
    if event == "open" and _is_importer(caller):
        return  # a module: see _modules()
    for inputs in _watching:
        inputs.note(event, arguments)
    if not _watching and _is_for_the_project(caller):
        _imports.note(event, arguments)


def _is_for_the_project(caller: FrameType | None) -> bool:
    """Whether the innermost module that is being imported is none of a library."""
    inner = None
    while caller is not None:
        if _is_importer(caller):
            code = inner and inner.f_code
            return (
                code is not None
                and code.co_name == "<module>"
                and not _is_of_a_library(code.co_filename)
            )
        inner, caller = caller, caller.f_back
    return False


def _is_importer(frame: FrameType) -> bool:
    names = frame.f_globals
    return names is _IMPORTER or names is _LOADERS


sys.addaudithook(_note)  # there is no way to remove one
