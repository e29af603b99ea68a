"""Report errors, Ctrl-C and a closed output pipe in Piccolo's command line.

Piccolo prints any Exception together with the command's usage page, and exits with 1. It lets
SystemExit through, so a PartmanError becomes one: one line and its own exit code.
"""

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType

from partman.errors import PartmanError
from partman.logs import report_error, report_traceback
from partman.terminal import INTERRUPTED, OUTPUT_CLOSED, accept_any_terminal, stop_writing


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """Report a PartmanError and exit in a Piccolo command; in an application, let it propagate."""
    try:
        yield
    except PartmanError as error:
        if not in_piccolo_command():
            raise
        if "--trace" in sys.argv:  # Piccolo's own option
            report_traceback(error)
        report_error(error)
        raise SystemExit(error.exit_code) from error


def in_piccolo_command() -> bool:
    """Whether this process is a Piccolo command that needs a database."""
    groups = {"fixtures", "migrations", "schema", "shell", "sql_shell", "user"}
    return "piccolo.main" in sys.modules and not groups.isdisjoint(sys.argv[1:2])


def in_administration() -> bool:
    """Whether this is a command for administrators; ``shell`` runs the application's code."""
    return in_piccolo_command() and sys.argv[1] != "shell"


def report_interrupts() -> None:
    """Make a Piccolo command report Ctrl-C or a closed output pipe in one line."""
    if in_piccolo_command():
        accept_any_terminal()
        sys.excepthook = _report_interrupt


def _report_interrupt(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(f"partman: {INTERRUPTED}", file=sys.stderr)
    elif issubclass(kind, BrokenPipeError):
        stop_writing()
        print(f"partman: {OUTPUT_CLOSED}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
