"""Where the output of a command goes, and who stops it before its end."""

import io
import os
import sys

_UNDONE = "What was not committed is rolled back; how the database stands: partman status"

INTERRUPTED = f"Interrupted. {_UNDONE}"
NOBODY_READS = f"Nobody reads the output any more, and the run was stopped. {_UNDONE}"


def accept_any_terminal() -> None:
    """Write what a terminal cannot show, such as Piccolo's emoji, as a question mark.

    It would end a run of migrations.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def stop_writing() -> None:
    """Send the output nowhere: Python would flush, and complain, once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
