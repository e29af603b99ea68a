"""Runs migrations: one connection, one lock, one commit a migration."""
