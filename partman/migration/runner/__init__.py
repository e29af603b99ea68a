"""Run migrations: one connection, one lock, one commit per migration."""
