"""How our errors leave Piccolo's command line, and what ends it from outside.

It prints any Exception together with the command's usage page, and exits with 1. But it lets
SystemExit through, so a PartmanError becomes one there: one line, and its own exit code.
"""

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType

from partman.errors import PartmanError
from partman.logs import report_error
from partman.terminal import INTERRUPTED, NOBODY_READS, accept_any_terminal, stop_writing


@contextlib.contextmanager
def presented() -> Iterator[None]:
    """Let a PartmanError end a Piccolo command. An application gets it as it is."""
    try:
        yield
    except PartmanError as error:
        if not in_piccolo_command():
            raise
        report_error(error)
        raise SystemExit(error.exit_code) from error


def in_piccolo_command() -> bool:
    """Whether this process is a Piccolo command that has no use without a database."""
    groups = {"fixtures", "migrations", "schema", "shell", "sql_shell", "user"}
    return "piccolo.main" in sys.modules and not groups.isdisjoint(sys.argv[1:2])


def expect_an_end_from_outside() -> None:
    """Have a Piccolo command that is stopped, or not read, say so in a line."""
    if in_piccolo_command():
        accept_any_terminal()
        sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(f"partman: {INTERRUPTED}", file=sys.stderr)
    elif issubclass(kind, BrokenPipeError):
        stop_writing()
        print(f"partman: {NOBODY_READS}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, frames)
