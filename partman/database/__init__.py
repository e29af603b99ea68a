"""Connections to PostgreSQL, scratch databases, and the server's errors."""
