"""What a command does: the function that its process would run after it has started Python."""

import importlib
import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.environment import script

_MAINS = {
    "piccolo": ("piccolo.main", "main"),
    "partman": ("partman.cli", "main"),
    "pytest": ("pytest", "console_main"),
}


def main_of(command: list[str]) -> Callable[[], object]:
    """Return the function that a command runs; set ``sys.argv`` and the import path for it."""
    program, *arguments = command
    if program == "python":
        return _python(arguments)
    sys.argv = [script(program), *arguments]
    module, name = _MAINS[program]
    main: Callable[[], object] = getattr(importlib.import_module(module), name)
    return lambda: sys.exit(main())  # type: ignore[arg-type] # as the installed scripts do


def _python(arguments: list[str]) -> Callable[[], object]:
    if arguments[:2] == ["-W", "ignore"]:
        warnings.simplefilter("ignore")
        arguments = arguments[2:]
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        sys.path.insert(0, str(Path.cwd()))
        return lambda: runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    if first == "-c":
        code, *others = others
        sys.argv = [first, *others]
        sys.path.insert(0, str(Path.cwd()))
        sys.modules["__main__"] = ModuleType("__main__")
        return lambda: exec(code, vars(sys.modules["__main__"]))  # noqa: S102 -- a test's
    sys.argv = arguments
    sys.path.insert(0, str(Path(first).absolute().parent))
    return lambda: runpy.run_path(first, run_name="__main__")
