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
    from partman.cli.plain_options import plain_options
    from partman.logs import report_error

    try:
        project.enter()
        arguments = sys.argv[1:]
        if plain_options(arguments) is not None:
            from partman.cli import fast_path

            fast_path.run(arguments)
        else:
            from partman.cli.app import create_app

            create_app(next(iter(arguments), None))()
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
