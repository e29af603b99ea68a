"""The command line: parses, calls the core, renders; no logic of its own."""

import sys

from partman.terminal import INTERRUPTED, accept_any_terminal, stop_writing

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
    from partman.cli import plain
    from partman.database.explain import situation
    from partman.errors import PartmanError
    from partman.logs import report_error

    try:
        if not plain.run(sys.argv[1:]):
            from partman.cli.app import app

            app()
    except Exception as error:
        known = error if isinstance(error, PartmanError) else situation(error)
        if known is None:
            raise
        report_error(known)
        sys.exit(known.exit_code)
