"""The command line: parses, calls the core, renders; no logic of its own."""

import io
import os
import sys

_INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C has ended, and Typer too."""


def main() -> None:
    """Run ``partman``. What a person can act on becomes one line and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal cannot show, such as Piccolo's emoji, must not end a run of migrations.
        sys.stdout.reconfigure(errors="replace")
    try:
        _run()
    except KeyboardInterrupt:
        print(
            "partman: Interrupted. What was not committed is rolled back; how the database "
            "stands: partman status",
            file=sys.stderr,
        )
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # Whoever reads has seen enough. Python would flush, and complain, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run() -> None:
    import asyncpg

    from partman.cli import plain
    from partman.database.explain import situation
    from partman.errors import PartmanError
    from partman.logs import report_error

    try:
        if not plain.run(sys.argv[1:]):
            from partman.cli.app import app

            app()
    except (PartmanError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        known = error if isinstance(error, PartmanError) else situation(error)
        if known is None:
            raise
        report_error(known)
        sys.exit(known.exit_code)
