"""Load a package only when something of it is used, and many modules without a stop."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """Has the package's place until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def load_when_used(name: str) -> None:
    """Let a later ``import name``, by whomever, load the package when it is first used.

    For one that another package imports at its top, and that a command does not use. Nothing is
    done if it is loaded already, or not installed. Python's own LazyLoader would load a compiled
    package at once.
    """
    if name not in sys.modules and find_spec(name) is not None:
        sys.modules[name] = _StandIn(name)


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage during a block that imports a project: what it makes stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
