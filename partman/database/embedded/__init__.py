"""The embedded server: PostgreSQL without installing PostgreSQL."""

from partman.database.embedded.server import ServerStatus, psql, start, status, stop

__all__ = ["ServerStatus", "psql", "start", "status", "stop"]
