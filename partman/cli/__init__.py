"""The command line: parses, calls the core, renders; no logic of its own."""

import sys


def main() -> None:
    """Run ``partman``. A PartmanError becomes one line and its exit code."""
    from partman.cli import plain
    from partman.errors import PartmanError

    try:
        if not plain.run(sys.argv[1:]):
            from partman.cli.app import app

            app()
    except PartmanError as error:
        print(f"partman: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
