"""Standard output, and what a command prints when it is stopped early."""

import io
import os
import sys

_ROLLED_BACK = "Uncommitted changes were rolled back. Show what is applied with: partman status"

INTERRUPTED = f"Interrupted. {_ROLLED_BACK}"
OUTPUT_CLOSED = f"Output pipe closed; the run was stopped. {_ROLLED_BACK}"


def accept_any_terminal() -> None:
    """Write characters that the terminal cannot show, such as Piccolo's emoji, as "?".

    Otherwise an encoding error would end a migration run.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def stop_writing() -> None:
    """Redirect standard output to /dev/null, so that Python's flush at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
