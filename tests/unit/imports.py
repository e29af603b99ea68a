"""Import files of a test, and undo all effects."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Forget a block's imports, and undo their effects on the process."""
    path, modules, environment = [*sys.path], {*sys.modules}, {**os.environ}
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        sys.dont_write_bytecode = written
        sys.path[:] = path
        for name in {*sys.modules} - modules:
            del sys.modules[name]
        os.environ.clear()
        os.environ.update(environment)
