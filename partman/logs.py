"""Log records on standard error, as plain lines or as JSON."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from partman.errors import MigrationCodeError, PartmanError
from partman.settings import LogFormat

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def report_error(error: PartmanError) -> None:
    """Print an error to standard error, in the format of ``PARTMAN_LOG_FORMAT``.

    Reads the environment variable directly, because the error may be about invalid settings.
    """
    if os.environ.get("PARTMAN_LOG_FORMAT", "").lower() == LogFormat.JSON:
        record = logging.makeLogRecord(
            {
                "name": "partman",
                "levelname": "ERROR",
                "msg": "%s",
                "args": (error,),
                "exit_code": error.exit_code,
            }
        )
        print(JsonFormatter().format(record), file=sys.stderr)
    else:
        print(f"partman: {error}", file=sys.stderr)


def report_traceback(error: PartmanError) -> None:
    """Log the traceback of the exception that a migration's own code has raised, if one has."""
    if isinstance(error, MigrationCodeError) and error.__cause__ is not None:
        logging.getLogger("partman.run").error("The migration's error:", exc_info=error.__cause__)


def configure_logging(log_format: LogFormat, level: int = logging.INFO) -> None:
    """Send partman's log records to standard error only."""
    handler = logging.StreamHandler()
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for name in ("partman", "seeds"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
