"""The command line: parses, calls the core, renders; no logic of its own."""

import sys


def main() -> None:
    """Run ``partman``. A PartmanError becomes one line and its exit code."""
    from partman.cli import plain
    from partman.errors import PartmanError
    from partman.logs import report_error

    try:
        if not plain.run(sys.argv[1:]):
            from partman.cli.app import app

            app()
    except PartmanError as error:
        report_error(error)
        sys.exit(error.exit_code)
