"""``partman serve``: health, metrics and the console, over HTTP."""

import signal
import sys
from typing import Annotated

import typer

from partman.cli.options import Scratch, ScratchOption
from partman.database.project_settings import project_settings
from partman.errors import NotInstalledError


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 for one that is free.")
    ] = 8000,
    scratch: ScratchOption = Scratch.SERVER,
) -> None:
    """Serve health, metrics and the console over HTTP.

    `/health/live` answers while the process does. `/health/ready` is 200 only when the database
    answers and its ledger is what this code expects; otherwise it is 503, and says why. `/metrics`
    is for Prometheus.

    It starts without a database, too, and finds it when it is there. SIGTERM and Ctrl-C end it
    within a second, with exit code 0. Needs `pip install 'partman[serve]'`.

    Example: `partman serve --host 0.0.0.0 --port 8080`
    """
    # From the first moment: what is the first process of a container ignores them otherwise.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        from partman.serve.http_server import run
    except ModuleNotFoundError as error:
        if (error.name or "partman").partition(".")[0] == "partman":
            raise
        raise NotInstalledError(
            f"partman serve needs {error.name}, which is not installed. Nothing was started. "
            "Install what it needs: pip install 'partman[serve]'"
        ) from error
    run(project_settings(), host, port, scratch)
