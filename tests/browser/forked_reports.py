"""The service, whose reports are forked: those of test_migrations.py are processes of their own."""

from unittest.mock import patch

from partman.logs import configure_logging
from partman.serve import http_server as server
from partman.serve.migrations import reports
from partman.settings import LogFormat, Settings


def serve() -> None:
    """Serve, with a PATH on which ``partman`` forks: see forked_scripts()."""
    configure_logging(LogFormat.HUMAN)
    with patch.object(reports, "_PARTMAN", ("partman",)):
        server.run(Settings.load(), "127.0.0.1", 0, "server")


if __name__ == "__main__":
    serve()
