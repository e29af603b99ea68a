"""The command line: parses, calls the core, renders; no logic of its own."""

import sys
from typing import TYPE_CHECKING

from partman.terminal import INTERRUPTED, accept_any_terminal, stop_writing

if TYPE_CHECKING:
    from partman.errors import PartmanError

_INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C has ended, and Typer too."""


def main() -> None:
    """Run ``partman``. What a person can act on becomes one line and its exit code."""
    accept_any_terminal()
    try:
        _run()
    except KeyboardInterrupt:
        print(f"partman: {INTERRUPTED}", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        stop_writing()  # whoever reads has seen enough
        sys.exit(1)


def _run() -> None:
    from partman import project
    from partman.cli import fast_path
    from partman.logs import report_error

    try:
        project.enter()
        if not fast_path.run(sys.argv[1:]):
            from partman.cli.app import app

            app()
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        report_error(known)
        sys.exit(known.exit_code)


def _known(error: Exception) -> "PartmanError | None":
    from partman.database.explain import explain_unexpected
    from partman.errors import PartmanError

    return error if isinstance(error, PartmanError) else explain_unexpected(error)
