"""Processes that have imported Piccolo and the project, and fork into commands.

Importing takes most of a command's time, and a test run starts thousands of commands. A forked
command is a real process: it opens its own connections after the fork, and signals end it.

There is a zygote for each of LEVELS, forked from the previous one when it is first needed; it
inherits the imports of the previous ones. Zygotes open no connections and start no threads. They
end when their standard input ends, and a command ends with the process that asked for it.

Run as ``python -m tests.zygote FOLDER``; faults/processes.py is the client. A zygote itself is a
command that can be forked: ``python -m tests.zygote FOLDER library commands`` listens for the
commands of another checkout, the one on its PYTHONPATH; see edited.py.
"""

import atexit
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import typer

from tests import shared
from tests.command_line import main_of
from tests.edited import hand_down_if_edited, may_be_edited, refuse_another_partman
from tests.environment import ROOT
from tests.unit.rooms import APP

_OF_THE_APP = tuple(
    f"partman.{room}" for room in APP if room not in {"piccolo_migrations", "seeds"}
)
"""What partman has for this project, and imports for no other one."""

LEVELS: Mapping[str, Sequence[str]] = {
    "packages": ("asyncpg", "bcrypt", "piccolo.main", "rich.console", "rich.text"),
    "library": ("partman",),
    "commands": (*_OF_THE_APP, "piccolo_conf", "seeds"),
    "service": ("partman.serve",),
}
"""The modules that each level imports, and packages with all their modules.

Other projects use "library", which imports nothing that belongs to this one. A project with a
partman of its own has a zygote of its own: see of_a_checkout().
"""
_NOT_YET = (*_OF_THE_APP, "partman.serve", "partman.testing", "partman.piccolo_migrations")
"""Modules that no package brings along: they have their own level, or Piccolo imports them."""

_STARTED = time.time()

_OF_THE_PROJECT = ("piccolo_conf", "seeds", "tests")
"""Modules that are only found by a process started in the project's folder."""


@dataclass(frozen=True)
class Level:
    """The socket of a zygote, and its imports."""

    listener: socket.socket
    modules: Sequence[str]


def main(folder: Path) -> None:
    """Listen on a socket for each level, with the level's name; nothing is imported yet."""
    os.environ[shared.FOLDER_VARIABLE] = str(folder)
    levels = _listening(folder, *LEVELS)
    print("ready", flush=True)
    _wait(None, levels)


def of_a_checkout(folder: Path, *names: str) -> NoReturn:
    """Listen on a socket for each level; it ends with the process that asked for it."""
    never_closed, _ = os.pipe()
    os.dup2(never_closed, 0)
    levels = _listening(folder, *names)
    print("ready", flush=True)
    _become_zygote(*levels)


def _listening(folder: Path, *names: str) -> list[Level]:
    levels = []
    for name in names:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / name))
        listener.listen(64)
        levels.append(Level(listener, LEVELS[name]))
    return levels


class _Commands:
    """The commands that this zygote has forked, each with the socket of who asked for it."""

    def __init__(self) -> None:
        self.ended, self._ends = os.pipe()
        for end in (self.ended, self._ends):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._ends)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._asking: dict[int, socket.socket] = {}

    def files(self) -> list[socket.socket | int]:
        """Return what can be read when a command has ended, or nobody wants it any more."""
        return [self.ended, *self._asking.values()]

    def close(self) -> None:
        """Close what a forked process must not have."""
        signal.set_wakeup_fd(-1)
        for end in (self.ended, self._ends):
            os.close(end)
        for connection in self._asking.values():
            connection.close()

    def fork(self, connection: socket.socket, listeners: Collection[socket.socket]) -> None:
        """Fork the command that is asked for, and send its process ID."""
        data, files, _, _ = socket.recv_fds(connection, 65536, 3)
        while not data.endswith(b"\n") and (more := connection.recv(65536)):
            data += more
        pid = os.fork()
        if pid == 0:
            self.close()
            for file in (connection, *listeners):
                file.close()
            _become_command(json.loads(data), files)
        for number in files:
            os.close(number)
        self._asking[pid] = connection
        _answer(connection, pid)

    def reap(self) -> None:
        """Send the exit codes of those that have ended."""
        with suppress(BlockingIOError):
            os.read(self.ended, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if connection := self._asking.pop(pid, None):
                    _answer(connection, os.waitstatus_to_exitcode(status))
                    connection.close()

    def kill(self, abandoned: Collection[Any]) -> None:
        """End those whose socket is among the abandoned ones."""
        for pid, connection in list(self._asking.items()):
            if connection in abandoned:
                os.kill(pid, signal.SIGKILL)
                self._asking.pop(pid).close()


def _answer(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # the client may have ended
        connection.sendall(b"%d\n" % number)


def _wait(own: Level | None, above: Sequence[Level]) -> None:
    """Fork a command for a request to this level, and the next zygote for requests above it."""
    commands = _Commands()
    while True:
        listeners = [level.listener for level in (own, *above) if level]
        ready = _ready(0, *listeners, *commands.files())
        commands.reap()
        if 0 in ready:
            commands.kill(commands.files())
            return
        commands.kill(ready)
        if own and own.listener in ready:
            commands.fork(own.listener.accept()[0], listeners)
        elif any(level.listener in ready for level in above):
            if os.fork() == 0:
                commands.close()
                _become_zygote(*above)
            above = ()


def _become_zygote(own: Level, *above: Level) -> NoReturn:
    for name in own.modules:
        _import(importlib.import_module(name))
    if "piccolo.main" in own.modules:
        _read_signatures()
    if "partman" in own.modules:
        _load_parsers()
        _read_migrations()
        _build_the_command_tree()
        _forget_the_tests()
        if shared.FOLDER_VARIABLE in os.environ:
            _let_roles_of_tests_come_and_go(shared.prefix())
    if "piccolo_conf" in own.modules:
        _ask_git()
    if "partman.serve" in own.modules:
        _read_templates()
    if "piccolo_conf" in own.modules:
        may_be_edited(_OF_THE_APP, Path(own.listener.getsockname()).with_name("library"))
    _parse_a_command_line()
    gc.collect()
    gc.freeze()  # the garbage collector would copy every page into every child
    _wait(own, above)
    os._exit(0)


def _ready(*files: socket.socket | int) -> list[Any]:
    """Wait for the first file that can be read."""
    return select.select(files, [], [])[0]


def _import(module: ModuleType) -> None:
    """Import all modules of a package except those that start something."""
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}."):
        if found.name not in _NOT_YET and not found.name.endswith("__main__"):
            _import(importlib.import_module(found.name))


def _load_parsers() -> None:
    """Load the grammars of SQL and, for what ``partman new`` writes, of Python."""
    from partman.grammar import parse
    from partman.migration.autogenerate.render import formatted

    parse("SELECT 1")
    assert formatted("x = 1")


def _read_migrations() -> None:
    """Compute what partman keeps of its own migrations."""
    import partman
    from partman.migration.ledger.files import MigrationFile

    for path in (Path(partman.__path__[0]) / "piccolo_migrations").glob("*.py"):
        assert MigrationFile("", "", "", path).checksum


def _ask_git() -> None:
    """Do what each command does that runs migrations: it asks for the project's revision."""
    from partman.migration.ledger import origin

    origin.revision()


def _read_templates() -> None:
    """Do what the service does when a page is first shown: it compiles the page's templates."""
    from partman.serve import pages

    environment = pages.environment()
    for name in environment.list_templates():
        environment.get_template(name)


def _forget_the_tests() -> None:
    """Take the modules that are imported by now for no part of a project."""
    from partman.migration.ledger import kept_files
    from partman.migration.verification import build_inputs

    build_inputs.unwatched.clear()
    # A test's project is seldom two seconds old, and the clock of these file systems is not FAT's:
    # it goes on at least a hundred times a second.
    build_inputs._MARGIN = kept_files._UNSURE = 0.01


def _let_roles_of_tests_come_and_go(prefix: str) -> None:
    """Take the roles that other tests create for no reason to build a schema anew.

    No migration can know their names. A command's own role counts as always.
    """
    from partman.migration.verification import kept

    others = (
        f"SELECT oid FROM pg_roles WHERE starts_with(rolname, '{prefix}')"
        " AND rolname <> session_user"
    )
    for source, roles in (
        ("pg_roles r)", ("r.oid",)),
        ("pg_auth_members m)", ("m.roleid", "m.member")),
    ):
        assert kept._SERVER.count(source) == 1
        conditions = " AND ".join(f"{role} NOT IN ({others})" for role in roles)
        where = f"{source[:-1]} WHERE {conditions})"
        kept._SERVER = kept._SERVER.replace(source, where)


def _build_the_command_tree() -> None:
    """Do what Typer does first in every command: it looks into the functions of all of them."""
    from partman.cli.app import app

    build = typer.main.get_command
    built = build(app)
    typer.main.get_command = lambda typer_instance: (
        built if typer_instance is app else build(typer_instance)
    )


def _read_signatures() -> None:
    """Do what Piccolo does first in every command: it reads docstrings and types of all of them."""
    from piccolo.conf.apps import AppConfig

    main, targ = importlib.import_module("piccolo.main"), importlib.import_module("targ")
    for name in ("parse", "get_type_hints"):
        setattr(targ, name, functools.cache(getattr(targ, name)))
    for found in vars(main).values():
        if isinstance(found, AppConfig):
            for command in found.get_commands():
                targ.Command(command.callable)


def _parse_a_command_line() -> None:
    """Do what Typer and Piccolo's command line delay: imports, and compiling expressions."""
    app = typer.Typer()

    @app.command()
    def command(number: int = 0) -> None:
        pass

    app(["--number", "1"], standalone_mode=False)
    importlib.import_module("docstring_parser").parse(
        "A command.\n\n:param number:\n    A number. --number=1\n"
    )


def _become_command(request: dict[str, Any], files: list[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may ignore it
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    hand_down_if_edited(request["command"])
    if os.environ.get("PYTHONUNBUFFERED"):
        unbuffered = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115 -- for good
        sys.stdout = io.TextIOWrapper(unbuffered, write_through=True)
    _find_modules_where_it_is_started()
    if build_inputs := sys.modules.get("partman.migration.verification.build_inputs"):
        # What was imported before was not edited since.
        build_inputs._STARTED = time.time()  # type: ignore[attr-defined]
    code: Any = 0
    try:
        main_of(request["command"])()
    except SystemExit as exit_:
        code = exit_.code
    except BaseException as error:
        sys.excepthook(*sys.exc_info())
        code = error
    _end(code)


def _find_modules_where_it_is_started() -> None:
    """Set the import path of a separate process: this process has the tests' folder on it."""
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    places = {Path.cwd(), *map(Path, path)}
    refuse_another_partman(places, _STARTED)
    if ROOT not in places:
        for name in [name for name in sys.modules if name.partition(".")[0] in _OF_THE_PROJECT]:
            del sys.modules[name]
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in ("", str(ROOT)))]


def _end(code: Any) -> NoReturn:
    """End the process like Python, but without the slow teardown."""
    threading._shutdown()  # type: ignore[attr-defined] # as Python does
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    if isinstance(code, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    if sys.argv[2:]:
        of_a_checkout(Path(sys.argv[1]), *sys.argv[2:])
    main(Path(sys.argv[1]))
