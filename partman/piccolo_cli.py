"""How our errors leave Piccolo's command line.

It prints any Exception together with the command's usage page, and exits with 1. But it lets
SystemExit through, so a PartmanError becomes one there: one line, and its own exit code.
"""

import contextlib
import sys
from collections.abc import Iterator

from partman.errors import PartmanError
from partman.logs import report_error


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
