"""How a process reaches PostgreSQL."""
