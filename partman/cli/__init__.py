"""The command line: parses, calls the core, renders; no logic of its own."""

import sys


def main() -> None:
    """Run ``partman``. A PartmanError becomes one line and its exit code."""
    from partman.errors import PartmanError

    try:
        from partman.cli.app import app

        app()
    except PartmanError as error:
        print(f"partman: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
